//! The step from a pattern to what looks for it. Reads no page.

use pcre2::bytes::{Regex, RegexBuilder};

use super::check::{PagePattern, PatternOption};

impl PagePattern {
    /// What looks for the pattern.
    ///
    /// # Errors
    /// What PCRE2 has against it.
    pub fn compile(&self) -> Result<Regex, pcre2::Error> {
        let has = |option| self.options.contains(&option);
        // What the library takes no option for, the pattern itself may say; the order is that of pcre2pattern(3).
        let verbs = [
            (PatternOption::NoAutoPossess, "(*NO_AUTO_POSSESS)"),
            (PatternOption::NoDotstarAnchor, "(*NO_DOTSTAR_ANCHOR)"),
            (PatternOption::NoStartOptimize, "(*NO_START_OPT)"),
            (PatternOption::Dupnames, "(?J)"),
            (PatternOption::NoAutoCapture, "(?n)"),
            (PatternOption::Ungreedy, "(?U)"),
        ];
        let written: String =
            verbs.into_iter().filter(|(option, _)| has(*option)).map(|(_, verb)| verb).collect();
        let mut builder = RegexBuilder::new();
        builder
            .caseless(has(PatternOption::Caseless))
            .dotall(has(PatternOption::Dotall))
            .extended(has(PatternOption::Extended))
            .multi_line(has(PatternOption::Multiline))
            .ucp(has(PatternOption::Ucp))
            .utf(has(PatternOption::Utf))
            .jit_if_available(true);
        if let Some((_, most)) = self.stack {
            builder.max_jit_stack_size(Some(most));
        }
        builder.build(&format!("{written}{}", self.pattern))
    }
}
