// Values out of an element's bytes: text, numbers in decimal text (DS, IS) and in binary (US, SS, UL, SL, FL, FD).
#pragma once

#include <cstdint>
#include <string_view>

#include "dicom/walk.hpp"

namespace fastimg::dicom {

// Without the spaces and NULs around it.
std::string_view trimmed(std::string_view text);

// Up to `room` numbers; -1 where the value is not numeric. `element.vr`, or `fallback` where the file does not say.
int numbers(const Byte* value, std::uint32_t length, std::uint16_t vr, std::uint16_t fallback, bool big, double* out,
            int room);

}  // namespace fastimg::dicom
