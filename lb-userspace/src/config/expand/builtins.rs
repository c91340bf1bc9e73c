//! Owns the variables that are there without a definition.

use rand::Rng as _;

use super::Reader;

/// The largest of `${_RANDOM}`.
const MAX_RANDOM: u32 = 32767;
/// What to do about a wrong one.
pub(super) const FORMS: &str = "write ${_PWD}, ${_INSTANCE}, ${_HASH}, ${_BANG}, ${_RANDOM}, ${_RANDOM MIN}, ${_RANDOM MIN MAX} or ${_ENV NAME}";

/// Those whose letter keepalived 2.2 takes for the start of a comment unless it stands in quotes.
pub(super) const STARTS_COMMENT: [&str; 2] = ["_HASH", "_BANG"];

/// Whether there is a builtin variable of this name.
pub(super) fn is_known(name: &str) -> bool {
    ["_PWD", "_INSTANCE", "_RANDOM", "_HASH", "_BANG", "_ENV"].contains(&name)
}

impl Reader<'_> {
    /// What the builtin variable with what stands behind its name is now, or what is the matter with it.
    pub(super) fn builtin(&mut self, inner: &str) -> Result<String, String> {
        let words: Vec<_> = inner.split_whitespace().collect();
        match words.as_slice() {
            ["_PWD"] => Ok(self.directory().display().to_string()),
            ["_INSTANCE"] => Ok(self.world.id.to_owned()),
            ["_HASH"] => Ok("#".to_owned()),
            ["_BANG"] => Ok("!".to_owned()),
            ["_RANDOM"] => self.random(0, MAX_RANDOM),
            ["_RANDOM", least] => self.random(number(least)?, MAX_RANDOM),
            ["_RANDOM", least, most] => self.random(number(least)?, number(most)?),
            ["_ENV", name] => {
                let value = (self.world.environment)(name);
                value.ok_or_else(|| "has no value: the environment has no such variable".to_owned())
            }
            _ => Err("is not of a form that is known".to_owned()),
        }
    }

    fn random(&mut self, least: u32, most: u32) -> Result<String, String> {
        if least > most {
            return Err(format!("asks for a number from {least} to {most}, which is none"));
        }
        Ok(self.random.random_range(least..=most).to_string())
    }
}

fn number(word: &str) -> Result<u32, String> {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    let number = word.parse().ok().filter(|_| digits);
    number.ok_or_else(|| format!("has {word} where a whole number belongs"))
}
