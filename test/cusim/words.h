// PTX text as words, and what the words mean.
#ifndef GYRFALCON_CUSIM_WORDS_H_
#define GYRFALCON_CUSIM_WORDS_H_

#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "cusim/ptx.h"

namespace cusim {

struct Token {
  std::string_view text;  // empty: the end
  int line = 0;
};

// Words (with dots and percent signs), and every other character by itself.
std::vector<Token> Tokenize(std::string_view text);

const std::map<std::string_view, Type>& Types();
const std::map<std::string_view, Op>& Ops();
const std::map<std::string_view, Special>& Specials();
std::optional<Space> SpaceOf(std::string_view word);

}  // namespace cusim

#endif  // GYRFALCON_CUSIM_WORDS_H_
