//! Words to options, by popt's rules: no abbreviations, `-p=5`, `-p5` and `--persistent=5`, clusters of short options, words
//! that are no options anywhere between them, `--` before the rest of those.

/// Whether an option has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    None,
    Needed,
    /// The next word, unless that is an option or there is none.
    Optional,
}

macro_rules! options {
    ($($name:ident $short:literal $long:literal $value:ident;)*) => {
        /// An option of ipvsadm, named after its long form.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Opt { $($name),* }

        const TABLE: &[(Opt, Option<u8>, &str, Value)] =
            &[$((Opt::$name, short($short), $long, Value::$value)),*];
    };
}

/// The letter, of which a long form without one has a blank.
const fn short(letter: u8) -> Option<u8> {
    if letter == b' ' { None } else { Some(letter) }
}

options! {
    AddService b'A' "add-service" None;
    EditService b'E' "edit-service" None;
    DeleteService b'D' "delete-service" None;
    Clear b'C' "clear" None;
    List b'L' "list" None;
    ListSmall b'l' "list" None;
    Zero b'Z' "zero" None;
    AddServer b'a' "add-server" None;
    EditServer b'e' "edit-server" None;
    DeleteServer b'd' "delete-server" None;
    Set b' ' "set" None;
    Help b'h' "help" None;
    Version b'v' "version" None;
    Restore b'R' "restore" None;
    Save b'S' "save" None;
    StartDaemon b' ' "start-daemon" Needed;
    StopDaemon b' ' "stop-daemon" Needed;
    TcpService b't' "tcp-service" Needed;
    UdpService b'u' "udp-service" Needed;
    SctpService b' ' "sctp-service" Needed;
    FwmarkService b'f' "fwmark-service" Needed;
    Scheduler b's' "scheduler" Needed;
    Persistent b'p' "persistent" Optional;
    Netmask b'M' "netmask" Needed;
    RealServer b'r' "real-server" Needed;
    Masquerading b'm' "masquerading" None;
    Ipip b'i' "ipip" None;
    Gatewaying b'g' "gatewaying" None;
    Weight b'w' "weight" Needed;
    UThreshold b'x' "u-threshold" Needed;
    LThreshold b'y' "l-threshold" Needed;
    Numeric b'n' "numeric" None;
    Connection b'c' "connection" None;
    McastInterface b' ' "mcast-interface" Needed;
    SyncId b' ' "syncid" Needed;
    SyncMaxlen b' ' "sync-maxlen" Needed;
    McastGroup b' ' "mcast-group" Needed;
    McastPort b' ' "mcast-port" Needed;
    McastTtl b' ' "mcast-ttl" Needed;
    Timeout b' ' "timeout" None;
    Daemon b' ' "daemon" None;
    Stats b' ' "stats" None;
    Rate b' ' "rate" None;
    Thresholds b' ' "thresholds" None;
    PersistentConn b' ' "persistent-conn" None;
    TunInfo b' ' "tun-info" None;
    NoSort b' ' "nosort" None;
    Sort b' ' "sort" None;
    Exact b'X' "exact" None;
    Ipv6 b'6' "ipv6" None;
    Ops b'o' "ops" None;
    Pe b' ' "pe" Needed;
    SchedFlags b'b' "sched-flags" Needed;
    TunType b' ' "tun-type" Needed;
    TunPort b' ' "tun-port" Needed;
    TunNocsum b' ' "tun-nocsum" None;
    TunCsum b' ' "tun-csum" None;
    TunRemcsum b' ' "tun-remcsum" None;
}

/// Why a word is no option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("unknown option")]
    Unknown,
    #[error("missing argument")]
    NoValue,
    #[error("option does not take an argument")]
    UnwantedValue,
}

/// Goes through the words of a command line once.
pub(super) struct Reader<'a> {
    words: &'a [String],
    /// How many words were taken.
    taken: usize,
    /// The rest of a cluster of short options.
    cluster: Option<&'a str>,
    /// All that follows is no option.
    is_rest: bool,
    /// What is no option.
    others: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(words: &'a [String]) -> Self {
        Self { words, taken: 0, cluster: None, is_rest: false, others: Vec::new() }
    }

    /// The next option and its value.
    pub(super) fn next(&mut self) -> Option<Result<(Opt, Option<&'a str>), Fault>> {
        loop {
            if let Some(cluster) = self.cluster.take() {
                return Some(self.short(cluster));
            }
            let word = self.word()?;
            match word.strip_prefix('-') {
                _ if self.is_rest => self.others.push(word),
                None | Some("") => self.others.push(word),
                Some("-") => self.is_rest = true,
                Some(option) => match option.strip_prefix('-') {
                    Some(long) => return Some(self.long(long)),
                    None => self.cluster = Some(option),
                },
            }
        }
    }

    /// The word that the last option, or its value, stands in.
    pub(super) fn last(&self) -> &'a str {
        self.taken.checked_sub(1).map_or("", |place| &self.words[place])
    }

    /// The words that are no options, when there are no more of those.
    pub(super) fn others(self) -> std::vec::IntoIter<&'a str> {
        self.others.into_iter()
    }

    fn word(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.taken)?;
        self.taken += 1;
        Some(word)
    }

    fn long(&mut self, text: &'a str) -> Result<(Opt, Option<&'a str>), Fault> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let (option, .., takes) = TABLE.iter().find(|(.., long, _)| *long == name).ok_or(Fault::Unknown)?;
        Ok((*option, self.value(*takes, value)?))
    }

    fn short(&mut self, cluster: &'a str) -> Result<(Opt, Option<&'a str>), Fault> {
        let letter = cluster.as_bytes().first().copied();
        let (option, .., takes) =
            TABLE.iter().find(|(_, short, ..)| *short == letter).ok_or(Fault::Unknown)?;
        // What is found is ASCII, and so a character of its own.
        let rest = Some(&cluster[1..]).filter(|rest| !rest.is_empty());
        let value = match (takes, rest) {
            (Value::None, Some(rest)) if !rest.starts_with('=') => {
                self.cluster = Some(rest);
                None
            }
            (_, rest) => rest.map(|rest| rest.strip_prefix('=').unwrap_or(rest)),
        };
        Ok((*option, self.value(*takes, value)?))
    }

    fn value(&mut self, takes: Value, attached: Option<&'a str>) -> Result<Option<&'a str>, Fault> {
        match (takes, attached) {
            (Value::None, Some(_)) => Err(Fault::UnwantedValue),
            (Value::None, None) => Ok(None),
            (_, Some(value)) => Ok(Some(value)),
            (Value::Needed, None) => self.word().ok_or(Fault::NoValue).map(Some),
            (Value::Optional, None) => {
                let is_option = self.words.get(self.taken).is_some_and(|word| word.starts_with('-'));
                Ok(if is_option { None } else { self.word() })
            }
        }
    }
}
