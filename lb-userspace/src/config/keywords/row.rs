//! Owns what a row of the keyword table has, and the short words it is written with. Knows no keyword.

use super::BlockKind;

/// What stands behind the arguments of a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Body {
    /// No block.
    None,
    /// A block of keywords.
    Block(BlockKind),
    /// A block whose lines are values.
    Lines,
    /// A block of values, or none.
    MaybeLines,
}

/// What a keyword does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Effect {
    /// It does what it says, or what is to be said is said where its value is read.
    Now,
    /// Nothing yet, and each use is warned of.
    Later,
    /// Nothing yet, and where its value is read it is said what becomes of it.
    Told,
    /// Nothing; said once for the block around it, or of no consequence for the service.
    Silent,
}

/// What counts where a block has a keyword twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Repeat {
    /// Each of them.
    Each,
    /// The last, about which keepalived says nothing.
    Last,
    /// The first, and keepalived says so.
    First,
    /// The last, unless this value was there, which stays; keepalived says so.
    Keeps(&'static str),
}

/// What stands behind a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Form {
    /// Nothing, or a block.
    Nothing,
    /// A whole number from the first to the second.
    Number(i64, i64),
    /// Seconds from the first to the second, which may have up to six decimals.
    Seconds(&'static str, &'static str),
    /// `yes` (`on`, `true`), `no` (`off`, `false`), or nothing for yes.
    Switch,
    /// What this describes.
    Text(&'static str),
}

/// What counts where a keyword is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Absent {
    /// Nothing is there then.
    Nothing,
    /// The same as if this were written.
    Is(&'static str),
    /// What this describes.
    Says(&'static str),
}

/// Where a keyword that a block does not have comes from before its default counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Heritage {
    /// From nowhere.
    None,
    /// The keyword of this name in the blocks around, from the inside out.
    Around,
    /// This keyword of `global_defs`.
    Global(&'static str),
}

/// One keyword of one kind of block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Keyword {
    pub(in crate::config) name: &'static str,
    /// Fewest and most arguments.
    pub(in crate::config) arguments: (usize, usize),
    pub(in crate::config) body: Body,
    pub(in crate::config) effect: Effect,
    pub(in crate::config) repeat: Repeat,
    /// Behind it stands a command, in which `'` and `\\` mean something too.
    pub(in crate::config) is_command: bool,
    pub(in crate::config) form: Form,
    pub(in crate::config) default: Absent,
    pub(in crate::config) heritage: Heritage,
    /// The keyword of the same block whose value counts where neither this one nor its heritage is written.
    pub(in crate::config) beside: Option<&'static str>,
    /// The keyword of the same block that this one is another word for, or the opposite of: the last of them counts.
    pub(in crate::config) alias: Option<&'static str>,
    /// In one sentence.
    pub(in crate::config) meaning: &'static str,
    /// What is not as in keepalived; empty where nothing is.
    pub(in crate::config) difference: &'static str,
}

impl Keyword {
    pub(super) const fn new(name: &'static str, fewest: usize, most: usize, body: Body) -> Self {
        Self {
            name,
            arguments: (fewest, most),
            body,
            effect: Effect::Silent,
            repeat: match (body, most) {
                (Body::Block(_) | Body::Lines, _) | (_, 0) => Repeat::Each,
                (Body::None | Body::MaybeLines, _) => Repeat::Last,
            },
            is_command: false,
            form: Form::Nothing,
            default: Absent::Nothing,
            heritage: Heritage::None,
            beside: None,
            alias: None,
            meaning: "",
            difference: "",
        }
    }

    pub(super) const fn now(self) -> Self {
        Self { effect: Effect::Now, ..self }
    }

    pub(super) const fn later(self) -> Self {
        Self { effect: Effect::Later, ..self }
    }

    pub(super) const fn told(self) -> Self {
        Self { effect: Effect::Told, ..self }
    }

    /// Several of them add up.
    pub(super) const fn each(self) -> Self {
        Self { repeat: Repeat::Each, ..self }
    }

    pub(super) const fn first(self) -> Self {
        Self { repeat: Repeat::First, ..self }
    }

    pub(super) const fn keeps(self, value: &'static str) -> Self {
        Self { repeat: Repeat::Keeps(value), ..self }
    }

    pub(super) const fn command(self) -> Self {
        Self { is_command: true, ..self }
    }

    pub(super) const fn number(self, least: i64, most: i64) -> Self {
        Self { form: Form::Number(least, most), ..self }
    }

    pub(super) const fn seconds(self, least: &'static str, most: &'static str) -> Self {
        Self { form: Form::Seconds(least, most), ..self }
    }

    /// Off where it is not written.
    pub(super) const fn switch(self) -> Self {
        Self { form: Form::Switch, default: Absent::Is("no"), ..self }
    }

    pub(super) const fn takes(self, form: &'static str) -> Self {
        Self { form: Form::Text(form), ..self }
    }

    pub(super) const fn is(self, default: &'static str) -> Self {
        Self { default: Absent::Is(default), ..self }
    }

    pub(super) const fn or(self, default: &'static str) -> Self {
        Self { default: Absent::Says(default), ..self }
    }

    pub(super) const fn around(self) -> Self {
        Self { heritage: Heritage::Around, ..self }
    }

    pub(super) const fn global(self, name: &'static str) -> Self {
        Self { heritage: Heritage::Global(name), ..self }
    }

    pub(super) const fn beside(self, name: &'static str) -> Self {
        Self { beside: Some(name), ..self }
    }

    pub(super) const fn alias(self, name: &'static str) -> Self {
        Self { alias: Some(name), ..self }
    }

    pub(super) const fn means(self, meaning: &'static str) -> Self {
        Self { meaning, ..self }
    }

    pub(super) const fn differs(self, difference: &'static str) -> Self {
        Self { difference, ..self }
    }

    /// The name under which [`Self::alias`]es are one.
    pub(in crate::config) const fn canonical(&self) -> &'static str {
        match self.alias {
            Some(name) => name,
            None => self.name,
        }
    }
}

/// Takes nothing.
pub(super) const fn flag(name: &'static str) -> Keyword {
    Keyword::new(name, 0, 0, Body::None)
}

/// Takes one value.
pub(super) const fn one(name: &'static str) -> Keyword {
    Keyword::new(name, 1, 1, Body::None)
}

/// Takes one value or none.
pub(super) const fn maybe(name: &'static str) -> Keyword {
    Keyword::new(name, 0, 1, Body::None)
}

/// Takes one value or more.
pub(super) const fn some(name: &'static str) -> Keyword {
    Keyword::new(name, 1, usize::MAX, Body::None)
}

/// Takes any number of values.
pub(super) const fn any(name: &'static str) -> Keyword {
    Keyword::new(name, 0, usize::MAX, Body::None)
}

/// Takes a block of values.
pub(super) const fn lines(name: &'static str) -> Keyword {
    Keyword::new(name, 0, 0, Body::Lines)
}

/// Takes a block of keywords and no value.
pub(super) const fn block(name: &'static str, kind: BlockKind) -> Keyword {
    Keyword::new(name, 0, 0, Body::Block(kind))
}

/// Takes one value, the block's name, and a block of keywords.
pub(super) const fn named(name: &'static str, kind: BlockKind) -> Keyword {
    Keyword::new(name, 1, 1, Body::Block(kind))
}
