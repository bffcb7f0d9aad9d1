// Opens the baseline region of a stub: x86-64 with SSE2, or whatever the compiler's default is elsewhere.
#define FASTIMG_LEVEL baseline
