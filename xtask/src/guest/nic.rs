//! A network card of the guest: its model and options for qemu, and the queues of what is at its other end.

use std::str::FromStr;

/// A card, `virtio-net-pci,queues=4,ctrl_guest_offloads=off`: `queues` is ours, the rest is qemu's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nic {
    model: String,
    options: Vec<String>,
    queues: Option<u8>,
}

impl FromStr for Nic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(',').map(str::to_owned);
        let model = words.next().filter(|model| !model.is_empty()).ok_or("no model")?;
        let (queues, options): (Vec<_>, Vec<_>) = words.partition(|word| word.starts_with("queues="));
        let queues = match queues.as_slice() {
            [] => None,
            [one] => {
                let number = one.trim_start_matches("queues=").parse().ok().filter(|&number| number > 1);
                Some(number.ok_or_else(|| format!("{one}: a number from 2 to 255 is wanted"))?)
            }
            _ => return Err("queues twice".to_owned()),
        };
        Ok(Self { model, options, queues })
    }
}

impl Nic {
    /// qemu's arguments for the card with this number. It ends in a tap, which alone has several queues and takes unfinished
    /// checksums and merged segments; nobody is behind that.
    pub(super) fn arguments(&self, number: usize) -> [String; 4] {
        let mut end = vec![format!("tap,id=nic{number},script=no,downscript=no")];
        let mut card = vec![self.model.clone(), format!("netdev=nic{number}")];
        if let Some(queues) = self.queues {
            end.push(format!("queues={queues}"));
            // One for the queue that sets things, one for changes; each pair of queues has two.
            card.push(format!("mq=on,vectors={}", 2 * u32::from(queues) + 2));
        }
        card.extend_from_slice(&self.options);
        ["-netdev".into(), end.join(","), "-device".into(), card.join(",")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_a_model_with_options() {
        let plain: Nic = "e1000e".parse().unwrap();
        let expected = ["-netdev", "tap,id=nic0,script=no,downscript=no", "-device", "e1000e,netdev=nic0"];
        assert_eq!(plain.arguments(0), expected);
        let more: Nic = "virtio-net-pci,queues=4,ctrl_guest_offloads=off".parse().unwrap();
        let [_, end, _, card] = more.arguments(1);
        assert_eq!(end, "tap,id=nic1,script=no,downscript=no,queues=4");
        assert_eq!(card, "virtio-net-pci,netdev=nic1,mq=on,vectors=10,ctrl_guest_offloads=off");
    }

    #[test]
    fn what_is_no_card_is_refused() {
        for text in ["", ",queues=4", "e1000e,queues=", "e1000e,queues=1", "e1000e,queues=2,queues=3"] {
            assert!(text.parse::<Nic>().is_err(), "{text}");
        }
    }
}
