//! Owns the step from an `authentication` block to [`Authentication`].

use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::model::vrrp::{Authentication, Version};
use crate::config::source::Span;
use crate::config::tree::Statement;

/// The authentication field of an advert of version 2 holds this many bytes.
const PASSWORD: usize = 8;

/// What the block says.
pub(super) struct Said {
    kind: Option<fn([u8; PASSWORD]) -> Authentication>,
    password: Option<[u8; PASSWORD]>,
    span: Span,
}

/// Reads the block.
pub(super) fn read(block: &Statement, problems: &mut Vec<Diagnostic>) -> Said {
    let mut said = Said { kind: None, password: None, span: block.header() };
    for setting in block.body() {
        let Some(word) = setting.arguments.first() else { continue };
        match (setting.name(), word.text.as_str()) {
            ("auth_type", "PASS") => said.kind = Some(Authentication::Pass),
            ("auth_type", "AH") => said.kind = Some(Authentication::Ah),
            ("auth_type", other) => {
                // One type or the other: that there is none is not to be said as well.
                said.kind = Some(Authentication::Pass);
                problems.push(
                    Diagnostic::error(
                        word.span,
                        format!("{} is not a type of authentication", quoted(other)),
                    )
                    .hint("write PASS or AH, in capitals"),
                );
            }
            ("auth_pass", text) => {
                if text.len() > PASSWORD {
                    let message =
                        format!("`auth_pass` is longer than {PASSWORD} characters; the rest is cut off");
                    problems.push(
                        Diagnostic::warning(word.span, message)
                            .hint("the other routers of the group cut it as well"),
                    );
                }
                let mut password = [0; PASSWORD];
                password.iter_mut().zip(text.bytes()).for_each(|(byte, given)| *byte = given);
                said.password = Some(password);
            }
            _ => {}
        }
    }
    said
}

impl Said {
    /// Whether it is to be an authentication header.
    pub(super) fn is_header(&self) -> bool {
        self.kind.is_some_and(|kind| matches!(kind([0; PASSWORD]), Authentication::Ah(_)))
    }

    /// The authentication that counts in `version`, or `None` with the reason said.
    pub(super) fn settle(&self, version: Version, problems: &mut Vec<Diagnostic>) -> Option<Authentication> {
        let (message, hint) = match (version, self.kind, self.password) {
            (Version::V2, Some(kind), Some(password)) => return Some(kind(password)),
            (Version::V3, ..) => (
                "version 3 knows no authentication; adverts are sent without",
                "remove the block, or write `version 2` on all routers",
            ),
            (Version::V2, None, _) => {
                ("there is no `auth_type`; adverts are sent without authentication", "write `auth_type PASS`")
            }
            (Version::V2, _, None) => (
                "there is no `auth_pass`; adverts are sent without authentication",
                "write it, with up to 8 characters",
            ),
        };
        // keepalived goes on in silence where only the type is missing.
        let is_told = !matches!((version, self.kind), (Version::V2, None));
        let say = if is_told { Diagnostic::warning } else { Diagnostic::ours };
        problems.push(say(self.span, message).hint(hint));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::vrrp::InitialState;
    use crate::config::testing::{instance, only, said, says};

    fn block(inner: &str) -> String {
        instance(&format!("authentication {{\n {inner}\n }}"))
    }

    #[test]
    fn a_password_is_filled_and_cut() {
        let text = block("auth_type PASS\n auth_pass 1111");
        assert_eq!(said(&text), Vec::<String>::new());
        assert_eq!(only(&text).authentication, Some(Authentication::Pass(*b"1111\0\0\0\0")));
        let text = block("auth_type AH\n auth_pass 736w4ib2");
        assert_eq!(only(&text).authentication, Some(Authentication::Ah(*b"736w4ib2")));
        let text = block("auth_type PASS\n auth_pass 123456789");
        says(&text, "t:6:12: warning: `auth_pass` is longer than 8 characters");
        assert_eq!(only(&text).authentication, Some(Authentication::Pass(*b"12345678")));
    }

    #[test]
    fn who_has_a_header_begins_as_backup() {
        let text = block("auth_type AH\n auth_pass 1111")
            .replace(" authentication", " state MASTER\n priority 9\n nopreempt\n authentication");
        says(&text, "t:1:1: warning: the vrrp_instance VI_1 begins as backup, because of `auth_type AH`");
        let read = only(&text);
        assert!(read.state == InitialState::Backup && !read.preempt);
        let text = text.replace("auth_type AH", "auth_type PASS").replace(" nopreempt\n", "");
        assert_eq!((said(&text), only(&text).state), (Vec::new(), InitialState::Master));
    }

    #[test]
    fn half_of_it_is_none() {
        says(&block("auth_pass 1111"), "t:4:2: warning: there is no `auth_type`");
        says(&block("auth_type PASS"), "t:4:2: warning: there is no `auth_pass`");
        says(&block("auth_type pass\n auth_pass 1"), "t:5:12: error: `pass` is not a type of authentication");
        assert_eq!(only(&block("auth_pass 1111")).authentication, None);
    }

    #[test]
    fn version_3_has_none() {
        let text = instance("version 3\n authentication {\n auth_type PASS\n auth_pass 1111\n }");
        says(&text, "t:5:2: warning: version 3 knows no authentication");
        assert_eq!(only(&text).authentication, None);
    }
}
