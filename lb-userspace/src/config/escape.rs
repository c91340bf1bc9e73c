//! Owns what stands behind a backslash in the commands of a configuration.

/// Appends what the escape behind a backslash means, and gives the length of the escape in `text`, which begins with
/// it: `a b E f n r t v` as in C, up to three octal digits, `x` and hexadecimal ones, `c` and the letter of a control
/// character; any other letter means itself.
pub(super) fn take(text: &str, bytes: &mut Vec<u8>) -> usize {
    let Some(letter) = text.chars().next() else { return 0 };
    let digits = |text: &str, radix: u32, most: usize| {
        text.chars().take(most).take_while(|digit| digit.is_digit(radix)).count()
    };
    let simple = match letter {
        'a' => 7,
        'b' => 8,
        'E' => 27,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '0'..='7' => {
            let length = digits(text, 8, 3);
            bytes.push(low_byte(&text[..length], 8));
            return length;
        }
        'x' if digits(&text[1..], 16, 1) == 1 => {
            let length = digits(&text[1..], 16, usize::MAX);
            bytes.push(low_byte(&text[1..=length], 16));
            return 1 + length;
        }
        'c' if text[1..].starts_with(|control: char| control.is_ascii()) => {
            bytes.push(text.as_bytes()[1] & 0x1f);
            return 2;
        }
        other => {
            bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
            return other.len_utf8();
        }
    };
    bytes.push(simple);
    1
}

/// The lowest eight bits of a number.
fn low_byte(digits: &str, radix: u32) -> u8 {
    digits.chars().filter_map(|digit| digit.to_digit(radix)).fold(0_u8, |byte, digit| {
        byte.wrapping_mul(u8::try_from(radix).unwrap_or(0)).wrapping_add(u8::try_from(digit).unwrap_or(0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_the_shell() {
        for (text, bytes, length) in [
            ("nx", "\n", 1),
            ("E", "\u{1b}", 1),
            ("1011", "A", 3),
            ("x41 ", "A", 3),
            ("x414", "\u{14}", 4),
            ("xyz", "x", 1),
            ("cA", "\u{1}", 2),
            ("c", "c", 1),
            ("cé", "c", 1),
            ("qr", "q", 1),
            ("\"", "\"", 1),
            ("é", "é", 2),
            ("", "", 0),
        ] {
            let mut taken = Vec::new();
            assert_eq!((take(text, &mut taken), taken.as_slice()), (length, bytes.as_bytes()), "{text:?}");
        }
    }
}
