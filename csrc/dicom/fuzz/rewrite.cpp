// The rewriter of de-identification on one input. What it writes must be well formed for itself: a second pass
// walks it, so that a wrong length or a lost delimiter shows. With libFuzzer or linked to driver.cpp.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "dicom/rewrite.hpp"

using namespace fastimg::dicom;

namespace {

Patient patient() {
  Patient known;
  known.words = {"anna", "19530412", "12-04-1953", "zwetschge", "4.7.11", "mueller hans"};
  known.index();
  known.explicit_heads = {{0x00100020, std::string("\x10\0\x20\0LO\4\0abcd", 12)},
                          {0x00280303, std::string("\x28\0\3\3CS\2\0AB", 10)}};
  known.implicit_heads = {{0x00100020, std::string("\x10\0\x20\0\4\0\0\0abcd", 12)}};
  return known;
}

// Types of a few elements, so that implicit files are walked too; the rest follows from the number.
std::uint16_t type_of(std::uint32_t tag, std::string_view) {
  static constexpr std::uint16_t types[] = {vr('L', 'O'), vr('U', 'I'), vr('D', 'A'), vr('S', 'Q'),
                                            vr('U', 'S'), vr('P', 'N'), vr('D', 'S'), vr('T', 'M'),
                                            kNumberOpen,  kBulkOpen,    kTableOpen,   0};
  if (tag == 0x00080018) return vr('U', 'I');
  if (tag == 0x00081140 || tag == 0x00081115 || tag == 0x00400275) return vr('S', 'Q');
  return types[(tag ^ tag >> 16) % 12];
}

Mind mind(const Patient& known) {
  Mind mind;
  mind.patient = [&](std::string_view, const std::vector<std::string_view>&) { return &known; };
  mind.think = [](const Patient&, const Question& question, const std::vector<std::string_view>&, Thought& thought) {
    thought.counts.emplace_back(question.tag, Action::remove);  // the answer "not at all"
    return question.value.size() != 6;
  };
  mind.uid = [](std::string_view uid) { return "2.25.1.2." + std::to_string(uid.size()); };
  mind.vr = type_of;
  return mind;
}

RewriteRules rules() {
  RewriteRules plan;
  plan.pixels = {0x7FE00001, 0x7FE00002, 0x7FE00003, 0x7FE00008, 0x7FE00009, kPixelData};
  plan.tables = {0x00281201, 0x00281202, 0x00281203, 0x00283006};
  plan.telling = {0x00100020, 0x00100030, 0x00080050};
  plan.rules = {{0x00080020, Action::shift},   {0x00080050, Action::empty},  {0x0008103E, Action::clean},
                {0x00081140, Action::recurse}, {0x00080080, Action::dummy},  {0x00101040, Action::remove},
                {0x00081115, Action::keep},    {0x00400275, Action::remove}, {0x0020000D, Action::uid},
                {0x00080090, Action::empty},   {0x00081030, Action::remove}};
  return plan;
}

std::vector<Byte> bytes_of(const Rewritten& result) {
  std::vector<Byte> bytes(result.size());  // exact: a byte too many is caught
  result.copy_to(bytes.data());
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Patient known = patient();
  Rewriter rewriter(rules(), mind(known));
  Rewritten first;
  if (!rewriter.run(data, size, first)) return 0;
  const std::vector<Byte> once = bytes_of(first);
  bool parsed = false;  // what was written must be well formed, whatever is decided on it then
  Mind watching = mind(known);
  watching.patient = [&](std::string_view, const std::vector<std::string_view>&) {
    parsed = true;
    return &known;
  };
  Rewriter again(rules(), std::move(watching));
  Rewritten second;
  const bool done = again.run(once.data(), once.size(), second);
  if (!parsed) std::abort();
  // Elements are only dropped or emptied from here on; all that grows is the patient's own and UIDs.
  if (done && bytes_of(second).size() > 2 * once.size() + 128) std::abort();
  return 0;
}
