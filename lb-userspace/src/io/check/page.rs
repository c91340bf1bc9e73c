//! What is kept of a page while it comes, and whether it is as it should be. However long it is, little is kept.

use std::fmt::Write as _;

use md5::{Digest as _, Md5};
use pcre2::bytes::Regex;
use tokio::sync::Semaphore;

use super::probe::Failure;
use crate::config::model::check::{PagePattern, Url};

/// How much of a page a pattern is looked for in.
const WINDOW: usize = 256 * 1024;
/// What of the bytes before is kept, for patterns that look behind.
const BEFORE: usize = 256;
/// A page that nobody looks into is read so far.
const UNREAD: usize = 1024 * 1024;
/// Or so many pieces, should they be small.
const UNREAD_PIECES: usize = 4096;

/// Searches at one time, each on a thread.
static SEARCHES: Semaphore = Semaphore::const_new(4);

/// A page that comes.
pub(super) struct Page<'a> {
    digest: Option<(Md5, [u8; 16])>,
    pattern: Option<&'a PagePattern>,
    /// The part of the page that the pattern is looked for in, and before.
    window: Vec<u8>,
    seen: usize,
    pieces: usize,
}

impl<'a> Page<'a> {
    pub(super) fn new(url: &'a Url) -> Self {
        Self {
            digest: url.digest.map(|wanted| (Md5::new(), wanted)),
            pattern: url.regex.as_ref(),
            window: Vec::new(),
            seen: 0,
            pieces: 0,
        }
    }

    /// Takes more of it; says whether still more may matter.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        if let Some((digest, _)) = &mut self.digest {
            digest.update(bytes);
        }
        if let Some(pattern) = self.pattern {
            let skipped = first_kept(pattern).saturating_sub(self.seen).min(bytes.len());
            let room = kept(pattern).saturating_sub(self.window.len());
            let fresh = &bytes[skipped..];
            self.window.extend_from_slice(&fresh[..fresh.len().min(room)]);
        }
        self.seen = self.seen.saturating_add(bytes.len());
        let is_looked_for = self.pattern.is_some_and(|pattern| self.window.len() < kept(pattern));
        self.pieces += 1;
        let may_be_cut = self.seen < UNREAD && self.pieces < UNREAD_PIECES;
        self.digest.is_some() || is_looked_for || (self.pattern.is_none() && may_be_cut)
    }

    /// Whether all of it is as it should be; `regex` is its pattern.
    pub(super) async fn judge(self, regex: Option<&Regex>) -> Result<(), Failure> {
        if let Some((digest, wanted)) = self.digest {
            let sum: [u8; 16] = digest.finalize().into();
            if sum != wanted {
                return Err(format!("the digest {} differs from {}", hex(sum), hex(wanted)).into());
            }
        }
        let Some(pattern) = self.pattern else { return Ok(()) };
        let Some(regex) = regex.cloned() else {
            return Err(Failure::Host("the pattern cannot be used".to_owned()));
        };
        let (window, pattern) = (self.window, pattern.clone());
        // A search may take long, though not without end: PCRE2 limits its steps.
        let place = SEARCHES.acquire().await.map_err(|error| Failure::Host(error.to_string()))?;
        let search = tokio::task::spawn_blocking(move || {
            let found = search(&window, &regex, &pattern);
            drop(place);
            found
        });
        search.await.unwrap_or_else(|error| Err(Failure::Host(error.to_string())))
    }
}

/// The first byte of the page that is kept.
fn first_kept(pattern: &PagePattern) -> usize {
    pattern.min_offset.saturating_sub(BEFORE)
}

/// How much is kept at most.
fn kept(pattern: &PagePattern) -> usize {
    pattern.min_offset - first_kept(pattern) + WINDOW
}

fn search(window: &[u8], regex: &Regex, pattern: &PagePattern) -> Result<(), Failure> {
    let from = pattern.min_offset - first_kept(pattern);
    let found = if from > window.len() { Ok(None) } else { regex.find_at(window, from) };
    let found = found.map_err(|error| format!("the pattern `{}`: {error}", pattern.pattern))?;
    let in_time = |start: usize| pattern.max_offset.is_none_or(|max| first_kept(pattern) + start <= max);
    match (found.is_some_and(|found| in_time(found.start())), pattern.no_match) {
        (true, true) => Err(format!("the pattern `{}` is in the page", pattern.pattern).into()),
        (false, false) => Err(format!("the pattern `{}` is not in the page", pattern.pattern).into()),
        (true, false) | (false, true) => Ok(()),
    }
}

fn hex(sum: [u8; 16]) -> String {
    sum.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(pattern: &str, min_offset: usize, max_offset: Option<usize>) -> Url {
        let regex = PagePattern {
            pattern: pattern.to_owned(),
            no_match: false,
            options: Vec::new(),
            stack: None,
            min_offset,
            max_offset,
        };
        Url { path: "/".to_owned(), virtualhost: None, status: Vec::new(), digest: None, regex: Some(regex) }
    }

    async fn judge(url: &Url, chunks: &[&[u8]]) -> Result<(), Failure> {
        let mut page = Page::new(url);
        for chunk in chunks {
            page.take(chunk);
        }
        let regex = url.regex.as_ref().map(|regex| regex.compile().unwrap());
        page.judge(regex.as_ref()).await
    }

    #[tokio::test]
    async fn a_pattern_is_found_across_pieces_and_between_its_offsets() {
        let page: [&[u8]; 3] = [b"one t", b"wo thr", b"ee\n"];
        let missing = |pattern: &str| Err(format!("the pattern `{pattern}` is not in the page").into());
        assert_eq!(judge(&url("two three$", 0, None), &page).await, Ok(()));
        assert_eq!(judge(&url("four", 0, None), &page).await, missing("four"));
        assert_eq!(judge(&url("(?<=e )t", 4, Some(4)), &page).await, Ok(()), "it may look behind");
        assert_eq!(judge(&url("two", 5, None), &page).await, missing("two"));
        assert_eq!(judge(&url("two", 0, Some(3)), &page).await, missing("two"));
        assert_eq!(judge(&url("two", 99, None), &page).await, missing("two"));
        let far = vec![b' '; 1000];
        assert_eq!(judge(&url("^ *x", 0, None), &[&far, b"x"]).await, Ok(()));
        assert_eq!(judge(&url("x", 1000, Some(1000)), &[&far, b"x"]).await, Ok(()));
        assert_eq!(judge(&url("x", 1001, None), &[&far, b"x"]).await, missing("x"));
    }

    #[tokio::test]
    async fn a_pattern_that_must_not_be_there() {
        let mut url = url("error", 0, None);
        url.regex.as_mut().unwrap().no_match = true;
        assert_eq!(judge(&url, &[b"fine"]).await, Ok(()));
        assert_eq!(judge(&url, &[b"an error"]).await, Err("the pattern `error` is in the page".into()));
    }

    #[test]
    fn of_a_page_without_end_little_is_kept() {
        let megabyte = vec![b'a'; 1 << 20];
        let url = url("b", 5 << 20, None);
        let mut page = Page::new(&url);
        let pieces = (0..9).take_while(|_| page.take(&megabyte)).count();
        assert_eq!(pieces, 5, "the sixth has all that is looked at");
        assert_eq!(page.window.len(), BEFORE + WINDOW);
        let plain = Url { regex: None, ..url };
        let mut page = Page::new(&plain);
        assert!(!page.take(&megabyte), "nobody looks");
        let mut page = Page::new(&plain);
        assert_eq!(
            (1..=UNREAD_PIECES + 1).find(|_| !page.take(b"a")),
            Some(UNREAD_PIECES),
            "nor into pieces of any size"
        );
        let summed = Url { digest: Some([0; 16]), ..plain };
        let mut page = Page::new(&summed);
        assert!(page.take(&megabyte) && page.window.is_empty());
    }

    #[tokio::test]
    async fn a_digest_is_that_of_all_pieces() {
        let sum = 7_u128;
        let url = Url { digest: Some(sum.to_be_bytes()), regex: None, ..url("", 0, None) };
        let said = judge(&url, &[b"a", b"bc"]).await;
        let abc = "900150983cd24fb0d6963f7d28e17f72";
        let reason = format!("the digest {abc} differs from {}", hex(sum.to_be_bytes()));
        assert_eq!(said, Err(reason.into()));
        let right = u128::from_str_radix(abc, 16).unwrap().to_be_bytes();
        assert_eq!(judge(&Url { digest: Some(right), ..url }, &[b"a", b"bc"]).await, Ok(()));
    }
}
