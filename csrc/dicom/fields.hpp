// The columns of a scan: which element fills which one. The Python side reads names and kinds from the same table.
#pragma once

#include <cstdint>

#include "dicom/walk.hpp"

namespace fastimg::dicom {

enum class FieldKind : std::uint8_t { text, real, whole, reals };  // reals: a list of numbers

struct Field {
  const char* name;
  std::uint32_t parent;  // tag of the sequence around it, 0 at the top
  std::uint32_t tag;
  std::uint16_t vr;  // for implicit VR
  FieldKind kind;
};

// Sequences that a scan enters at the top level; their first items only.
constexpr std::uint32_t kRadiopharmaceutical = tag(0x0054, 0x0016);
constexpr std::uint32_t kPixelMeasures = tag(0x0028, 0x9110), kPlaneOrientation = tag(0x0020, 0x9116),
                        kPlanePosition = tag(0x0020, 0x9113), kPixelTransform = tag(0x0028, 0x9145),
                        kMrEcho = tag(0x0018, 0x9114), kMrDiffusion = tag(0x0018, 0x9117),
                        kFrameContent = tag(0x0020, 0x9111), kSegmentId = tag(0x0062, 0x000A),
                        kModalityLut = tag(0x0028, 0x3000), kRealWorld = tag(0x0040, 0x9096),
                        kCtFrameType = tag(0x0018, 0x9329), kMrFrameType = tag(0x0018, 0x9226),
                        kPetFrameType = tag(0x0018, 0x9751), kTemporalPosition = tag(0x0020, 0x9310),
                        kMrModifier = tag(0x0018, 0x9115), kCardiac = tag(0x0018, 0x9118),
                        kSlidePosition = tag(0x0048, 0x021A), kOpticalPath = tag(0x0048, 0x0207),
                        kCtReconstruction = tag(0x0018, 0x9314), kGradientDirection = tag(0x0018, 0x9076);

// Sorted by (parent, tag) at the top level first; scan.cpp builds its lookup from it.
constexpr Field kFields[] = {
    {"transfer_syntax", 0, tag(0x0002, 0x0010), vr('U', 'I'), FieldKind::text},
    {"specific_character_set", 0, tag(0x0008, 0x0005), vr('C', 'S'), FieldKind::text},
    {"image_type", 0, tag(0x0008, 0x0008), vr('C', 'S'), FieldKind::text},
    {"sop_class_uid", 0, tag(0x0008, 0x0016), vr('U', 'I'), FieldKind::text},
    {"sop_instance_uid", 0, tag(0x0008, 0x0018), vr('U', 'I'), FieldKind::text},
    {"study_date", 0, tag(0x0008, 0x0020), vr('D', 'A'), FieldKind::text},
    {"series_date", 0, tag(0x0008, 0x0021), vr('D', 'A'), FieldKind::text},
    {"acquisition_date", 0, tag(0x0008, 0x0022), vr('D', 'A'), FieldKind::text},
    {"acquisition_datetime", 0, tag(0x0008, 0x002A), vr('D', 'T'), FieldKind::text},
    {"study_time", 0, tag(0x0008, 0x0030), vr('T', 'M'), FieldKind::text},
    {"series_time", 0, tag(0x0008, 0x0031), vr('T', 'M'), FieldKind::text},
    {"acquisition_time", 0, tag(0x0008, 0x0032), vr('T', 'M'), FieldKind::text},
    {"modality", 0, tag(0x0008, 0x0060), vr('C', 'S'), FieldKind::text},
    {"presentation_intent", 0, tag(0x0008, 0x0068), vr('C', 'S'), FieldKind::text},
    {"manufacturer", 0, tag(0x0008, 0x0070), vr('L', 'O'), FieldKind::text},
    {"institution", 0, tag(0x0008, 0x0080), vr('L', 'O'), FieldKind::text},
    {"station", 0, tag(0x0008, 0x1010), vr('S', 'H'), FieldKind::text},
    {"study_description", 0, tag(0x0008, 0x1030), vr('L', 'O'), FieldKind::text},
    {"series_description", 0, tag(0x0008, 0x103E), vr('L', 'O'), FieldKind::text},
    {"model", 0, tag(0x0008, 0x1090), vr('L', 'O'), FieldKind::text},
    {"patient_name", 0, tag(0x0010, 0x0010), vr('P', 'N'), FieldKind::text},
    {"patient_id", 0, tag(0x0010, 0x0020), vr('L', 'O'), FieldKind::text},
    {"patient_birth_date", 0, tag(0x0010, 0x0030), vr('D', 'A'), FieldKind::text},
    {"patient_sex", 0, tag(0x0010, 0x0040), vr('C', 'S'), FieldKind::text},
    {"patient_age", 0, tag(0x0010, 0x1010), vr('A', 'S'), FieldKind::text},
    {"patient_size", 0, tag(0x0010, 0x1020), vr('D', 'S'), FieldKind::real},
    {"patient_weight", 0, tag(0x0010, 0x1030), vr('D', 'S'), FieldKind::real},
    {"contrast_agent", 0, tag(0x0018, 0x0010), vr('L', 'O'), FieldKind::text},
    {"body_part", 0, tag(0x0018, 0x0015), vr('C', 'S'), FieldKind::text},
    {"sequence_name", 0, tag(0x0018, 0x0024), vr('S', 'H'), FieldKind::text},
    {"thickness", 0, tag(0x0018, 0x0050), vr('D', 'S'), FieldKind::real},
    {"kvp", 0, tag(0x0018, 0x0060), vr('D', 'S'), FieldKind::real},
    {"repetition_time", 0, tag(0x0018, 0x0080), vr('D', 'S'), FieldKind::real},
    {"echo_time", 0, tag(0x0018, 0x0081), vr('D', 'S'), FieldKind::real},
    {"inversion_time", 0, tag(0x0018, 0x0082), vr('D', 'S'), FieldKind::real},
    {"echo_number", 0, tag(0x0018, 0x0086), vr('I', 'S'), FieldKind::whole},
    {"field_strength", 0, tag(0x0018, 0x0087), vr('D', 'S'), FieldKind::real},
    {"spacing_between_slices", 0, tag(0x0018, 0x0088), vr('D', 'S'), FieldKind::real},
    {"protocol", 0, tag(0x0018, 0x1030), vr('L', 'O'), FieldKind::text},
    {"trigger_time", 0, tag(0x0018, 0x1060), vr('D', 'S'), FieldKind::real},
    {"gantry_tilt", 0, tag(0x0018, 0x1120), vr('D', 'S'), FieldKind::real},
    {"imager_pixel_spacing", 0, tag(0x0018, 0x1164), vr('D', 'S'), FieldKind::reals},
    {"kernel", 0, tag(0x0018, 0x1210), vr('S', 'H'), FieldKind::text},
    {"b_value", 0, tag(0x0018, 0x9087), vr('F', 'D'), FieldKind::real},
    {"multi_energy", 0, tag(0x0018, 0x9361), vr('C', 'S'), FieldKind::text},
    {"study_uid", 0, tag(0x0020, 0x000D), vr('U', 'I'), FieldKind::text},
    {"series_uid", 0, tag(0x0020, 0x000E), vr('U', 'I'), FieldKind::text},
    {"series_number", 0, tag(0x0020, 0x0011), vr('I', 'S'), FieldKind::whole},
    {"acquisition_number", 0, tag(0x0020, 0x0012), vr('I', 'S'), FieldKind::whole},
    {"instance_number", 0, tag(0x0020, 0x0013), vr('I', 'S'), FieldKind::whole},
    {"image_position", 0, tag(0x0020, 0x0032), vr('D', 'S'), FieldKind::reals},
    {"image_orientation", 0, tag(0x0020, 0x0037), vr('D', 'S'), FieldKind::reals},
    {"frame_of_reference_uid", 0, tag(0x0020, 0x0052), vr('U', 'I'), FieldKind::text},
    {"temporal_position", 0, tag(0x0020, 0x0100), vr('I', 'S'), FieldKind::whole},
    {"slice_location", 0, tag(0x0020, 0x1041), vr('D', 'S'), FieldKind::real},
    {"samples", 0, tag(0x0028, 0x0002), vr('U', 'S'), FieldKind::whole},
    {"photometric", 0, tag(0x0028, 0x0004), vr('C', 'S'), FieldKind::text},
    {"planar_configuration", 0, tag(0x0028, 0x0006), vr('U', 'S'), FieldKind::whole},
    {"frames", 0, tag(0x0028, 0x0008), vr('I', 'S'), FieldKind::whole},
    {"rows", 0, tag(0x0028, 0x0010), vr('U', 'S'), FieldKind::whole},
    {"columns", 0, tag(0x0028, 0x0011), vr('U', 'S'), FieldKind::whole},
    {"pixel_spacing", 0, tag(0x0028, 0x0030), vr('D', 'S'), FieldKind::reals},
    {"corrected_image", 0, tag(0x0028, 0x0051), vr('C', 'S'), FieldKind::text},
    {"bits_allocated", 0, tag(0x0028, 0x0100), vr('U', 'S'), FieldKind::whole},
    {"bits_stored", 0, tag(0x0028, 0x0101), vr('U', 'S'), FieldKind::whole},
    {"high_bit", 0, tag(0x0028, 0x0102), vr('U', 'S'), FieldKind::whole},
    {"pixel_representation", 0, tag(0x0028, 0x0103), vr('U', 'S'), FieldKind::whole},
    {"padding_value", 0, tag(0x0028, 0x0120), vr('U', 'S'), FieldKind::whole},
    {"padding_limit", 0, tag(0x0028, 0x0121), vr('U', 'S'), FieldKind::whole},
    {"burned_in", 0, tag(0x0028, 0x0301), vr('C', 'S'), FieldKind::text},
    {"rescale_intercept", 0, tag(0x0028, 0x1052), vr('D', 'S'), FieldKind::real},
    {"rescale_slope", 0, tag(0x0028, 0x1053), vr('D', 'S'), FieldKind::real},
    {"rescale_type", 0, tag(0x0028, 0x1054), vr('L', 'O'), FieldKind::text},
    {"lossy", 0, tag(0x0028, 0x2110), vr('C', 'S'), FieldKind::text},
    {"pet_units", 0, tag(0x0054, 0x1001), vr('C', 'S'), FieldKind::text},
    {"suv_type", 0, tag(0x0054, 0x1006), vr('C', 'S'), FieldKind::text},
    {"decay_correction", 0, tag(0x0054, 0x1102), vr('C', 'S'), FieldKind::text},
    {"frame_reference_time", 0, tag(0x0054, 0x1300), vr('D', 'S'), FieldKind::real},
    {"decay_factor", 0, tag(0x0054, 0x1321), vr('D', 'S'), FieldKind::real},
    {"dose_units", 0, tag(0x3004, 0x0002), vr('C', 'S'), FieldKind::text},
    {"dose_grid_scaling", 0, tag(0x3004, 0x000E), vr('D', 'S'), FieldKind::real},
    {"grid_frame_offsets", 0, tag(0x3004, 0x000C), vr('D', 'S'), FieldKind::reals},
    {"philips_suv_factor", 0, tag(0x7053, 0x1000), vr('D', 'S'), FieldKind::real},
    {"philips_activity_factor", 0, tag(0x7053, 0x1009), vr('D', 'S'), FieldKind::real},
    {"injection_time", kRadiopharmaceutical, tag(0x0018, 0x1072), vr('T', 'M'), FieldKind::text},
    {"injected_dose", kRadiopharmaceutical, tag(0x0018, 0x1074), vr('D', 'S'), FieldKind::real},
    {"half_life", kRadiopharmaceutical, tag(0x0018, 0x1075), vr('D', 'S'), FieldKind::real},
    {"injection_datetime", kRadiopharmaceutical, tag(0x0018, 0x1078), vr('D', 'T'), FieldKind::text},
};
constexpr int kFieldCount = sizeof(kFields) / sizeof(kFields[0]);

}  // namespace fastimg::dicom
