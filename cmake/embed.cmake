# Turns a file into a C source with its bytes:
#   cmake -D INPUT=file -D OUTPUT=file.c -D NAME=symbol -P embed.cmake
# The source defines   const unsigned char NAME[];  and  const size_t NAME_size;
file(READ "${INPUT}" bytes HEX)
string(LENGTH "${bytes}" digits)
math(EXPR size "${digits} / 2")
string(REPEAT "." 40 line)
string(REGEX REPLACE "(${line})" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
get_filename_component(file_name "${INPUT}" NAME)
file(WRITE "${OUTPUT}" "/* ${file_name}, embedded by cmake/embed.cmake. */
#include <stddef.h>
extern const unsigned char ${NAME}[];
extern const size_t ${NAME}_size;
const unsigned char ${NAME}[] = {
${bytes}
};
const size_t ${NAME}_size = ${size};
")
