#include "dicom/groups.hpp"

#include <cmath>
#include <stdexcept>

#include "dicom/fields.hpp"
#include "dicom/values.hpp"

namespace fastimg::dicom {
namespace {

enum Target { position, orientation, spacing, number, type, stack, dimension };
struct Rule {
  std::uint32_t parent, tag;
  std::uint16_t vr;
  Target target;
  int which;
};
constexpr Rule kRules[] = {
    {kPlanePosition, tag(0x0020, 0x0032), vr('D', 'S'), position, 3},
    {kPlaneOrientation, tag(0x0020, 0x0037), vr('D', 'S'), orientation, 6},
    {kPixelMeasures, tag(0x0028, 0x0030), vr('D', 'S'), spacing, 2},
    {kPixelMeasures, tag(0x0018, 0x0050), vr('D', 'S'), number, kThickness},
    {kPixelTransform, tag(0x0028, 0x1053), vr('D', 'S'), number, kSlope},
    {kPixelTransform, tag(0x0028, 0x1052), vr('D', 'S'), number, kIntercept},
    {kMrEcho, tag(0x0018, 0x9082), vr('F', 'D'), number, kEchoTime},
    {kMrDiffusion, tag(0x0018, 0x9087), vr('F', 'D'), number, kBValue},
    {kFrameContent, tag(0x0020, 0x9128), vr('U', 'L'), number, kTemporalIndex},
    {kFrameContent, tag(0x0020, 0x9057), vr('U', 'L'), number, kInStack},
    {kSegmentId, tag(0x0062, 0x000B), vr('U', 'S'), number, kSegment},
    {kMrModifier, tag(0x0018, 0x9079), vr('F', 'D'), number, kInversionTime},
    {kTemporalPosition, tag(0x0020, 0x930D), vr('F', 'D'), number, kTimeOffset},
    {kCardiac, tag(0x0020, 0x9153), vr('F', 'D'), number, kTriggerDelay},
    {kCardiac, tag(0x0020, 0x9241), vr('F', 'L'), number, kCardiacPhase},
    {kSlidePosition, tag(0x0048, 0x021F), vr('S', 'L'), number, kSlideRow},
    {kSlidePosition, tag(0x0048, 0x021E), vr('S', 'L'), number, kSlideColumn},
    {kSlidePosition, tag(0x0040, 0x074A), vr('D', 'S'), number, kSlideDepth},
    {kOpticalPath, tag(0x0048, 0x0106), vr('S', 'H'), type, 0},
    {kFrameContent, tag(0x0020, 0x9056), vr('S', 'H'), stack, 0},
    {kFrameContent, tag(0x0020, 0x9157), vr('U', 'L'), dimension, 0},
    {kCtFrameType, tag(0x0008, 0x9007), vr('C', 'S'), type, 0},
    {kMrFrameType, tag(0x0008, 0x9007), vr('C', 'S'), type, 0},
    {kPetFrameType, tag(0x0008, 0x9007), vr('C', 'S'), type, 0},
};

bool is_group(std::uint32_t found) {
  for (const Rule& rule : kRules)
    if (rule.parent == found) return true;
  return false;
}

struct One {  // the groups of one item
  double position[3], orientation[6], spacing[2], numbers[kNumbers];
  std::string type, stack;
  std::vector<std::uint32_t> dimensions;
  One() {
    for (double& v : position) v = std::nan("");
    for (double& v : orientation) v = std::nan("");
    for (double& v : spacing) v = std::nan("");
    for (double& v : numbers) v = std::nan("");
  }
};

void take(Walker& walker, Source& source, One& one) {
  const Element element = walker.current();
  if (element.length == kUndefined || element.length > 4096) return;
  for (const Rule& rule : kRules) {
    if (rule.tag != element.tag || rule.parent != walker.parent()) continue;
    const Byte* value = source.at(element.offset, element.length);
    if (!value) return;
    if (rule.target == type || rule.target == stack) {
      const std::string_view text = trimmed(std::string_view(reinterpret_cast<const char*>(value), element.length));
      (rule.target == type ? one.type : one.stack) = text;
      return;
    }
    double read[64];
    const int count = numbers(value, element.length, element.vr, rule.vr, walker.encoding().big, read, 64);
    if (rule.target == dimension) {
      one.dimensions.clear();
      for (int i = 0; i < count; ++i) one.dimensions.push_back(static_cast<std::uint32_t>(read[i]));
      return;
    }
    const int wanted = rule.target == number ? 1 : rule.which;
    if (count < wanted) return;
    double* to = rule.target == position      ? one.position
                 : rule.target == orientation ? one.orientation
                 : rule.target == spacing     ? one.spacing
                                              : one.numbers + rule.which;
    for (int i = 0; i < wanted; ++i) to[i] = read[i];
    return;
  }
}

void add(Groups& groups, const One& one) {
  groups.position.insert(groups.position.end(), one.position, one.position + 3);
  groups.orientation.insert(groups.orientation.end(), one.orientation, one.orientation + 6);
  groups.spacing.insert(groups.spacing.end(), one.spacing, one.spacing + 2);
  groups.numbers.insert(groups.numbers.end(), one.numbers, one.numbers + kNumbers);
  groups.types.push_back(one.type);
  groups.stacks.push_back(one.stack);
  groups.dimensions.push_back(one.dimensions);
  ++groups.frames;
}

}  // namespace

Groups read_groups(Source& source, std::uint64_t data_set, Encoding encoding) {
  Groups groups;
  One shared, one;
  Walker walker(source, data_set, source.size(), encoding);
  std::uint32_t inside = 0;
  for (;;) {
    const Step step = walker.next();
    if (step == Step::end) return groups;
    if (step == Step::damaged) throw std::runtime_error(walker.problem());
    if (step == Step::item && walker.depth() == 1 && inside == kFrameGroups) one = shared;
    if (step == Step::item_end && walker.depth() == 1 && inside == kFrameGroups) add(groups, one);
    if (step != Step::element) continue;
    const std::uint32_t found = walker.current().tag;
    if (walker.depth() == 0) {
      if (found >> 16 == 0x7FE0) return groups;
      if ((found == kSharedGroups || found == kFrameGroups) && walker.is_sequence()) {
        inside = found;
        if (!walker.enter()) throw std::runtime_error(walker.problem());
      }
      continue;
    }
    if (walker.depth() == 1 && walker.is_sequence() && is_group(found)) {
      if (!walker.enter()) throw std::runtime_error(walker.problem());
      continue;
    }
    if (walker.depth() == 2) take(walker, source, inside == kSharedGroups ? shared : one);
  }
}

bool find_value(Source& source, std::uint64_t data_set, Encoding encoding, const std::vector<std::uint32_t>& path,
                std::uint64_t limit, std::vector<Byte>* value, std::uint16_t* vr) {
  Walker walker(source, data_set, source.size(), encoding);
  for (;;) {
    const Step step = walker.next();
    if (step == Step::end || step == Step::damaged) return false;
    if (step == Step::sequence_end && walker.depth() == 0 && path.size() > 1) return false;
    if (step != Step::element) continue;
    const Element element = walker.current();
    const auto level = static_cast<std::size_t>(walker.depth());
    if (level >= path.size() || element.tag != path[level]) {
      if (level == 0 && element.tag > path[0] && element.tag >> 16 == 0x7FE0 && path[0] >> 16 != 0x7FE0) return false;
      continue;
    }
    if (level + 1 < path.size()) {
      if (!walker.is_sequence() || !walker.enter()) return false;
      continue;
    }
    if (element.length == kUndefined || element.length > limit) return false;
    const Byte* found = source.at(element.offset, element.length);
    if (!found) return false;
    value->assign(found, found + element.length);
    *vr = element.vr;
    return true;
  }
}

}  // namespace fastimg::dicom
