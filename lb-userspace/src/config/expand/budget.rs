//! Owns how much a file may become, so that a few lines cannot fill the memory.

/// Variables that are put in, and lines that are repeated.
const MAX_USES: usize = 2_000_000;
/// Bytes that are made of variables, repeated or included.
const MAX_BYTES: usize = 64 << 20;
/// Words and braces in the end.
const MAX_WORDS: usize = 4_000_000;
/// A line in bytes, also after variables were put into it.
pub(super) const MAX_LINE: usize = 1 << 20;
/// Variables in the value of variables, and so on.
pub(super) const MAX_DEPTH: u16 = 32;

/// What is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Budget {
    pub(in crate::config) uses: usize,
    pub(in crate::config) bytes: usize,
    pub(in crate::config) words: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { uses: MAX_USES, bytes: MAX_BYTES, words: MAX_WORDS }
    }
}

impl Budget {
    /// Takes one use that makes `bytes`; what there is too much of, if it is too much.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), &'static str> {
        self.uses = self.uses.checked_sub(1).ok_or("variables and lists are used too often")?;
        self.bytes =
            self.bytes.checked_sub(bytes).ok_or("variables, lists and includes make too much text")?;
        Ok(())
    }

    /// Takes words that go into the configuration.
    pub(super) fn spend_words(&mut self, words: usize) -> Result<(), &'static str> {
        self.words = self.words.checked_sub(words).ok_or("the configuration has too many words")?;
        Ok(())
    }

    /// What is left without `other`, if so much is there.
    pub(super) fn less(self, other: Self) -> Option<Self> {
        Some(Self {
            uses: self.uses.checked_sub(other.uses)?,
            bytes: self.bytes.checked_sub(other.bytes)?,
            words: self.words.checked_sub(other.words)?,
        })
    }

    /// Whether so many uses are left.
    pub(super) const fn has(&self, uses: u64) -> bool {
        uses <= self.uses as u64
    }
}
