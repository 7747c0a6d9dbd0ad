//! A strict reader of JSON (RFC 8259), which only says whether a text is one value, and where it is not.

/// `Err` with the offset at which the text is no JSON.
pub fn check(text: &[u8]) -> Result<(), usize> {
    if let Err(error) = std::str::from_utf8(text) {
        return Err(error.valid_up_to());
    }
    let mut reader = Reader { text, at: 0 };
    let whole = reader.value() && reader.blanks() == text.len();
    if whole { Ok(()) } else { Err(reader.at) }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn take(&mut self, byte: u8) -> bool {
        let is = self.peek() == byte && self.at < self.text.len();
        self.at += usize::from(is);
        is
    }

    fn word(&mut self, word: &[u8]) -> bool {
        word.iter().all(|&byte| self.take(byte))
    }

    fn blanks(&mut self) -> usize {
        while b" \t\r\n".contains(&self.peek()) {
            self.at += 1;
        }
        self.at
    }

    fn value(&mut self) -> bool {
        self.blanks();
        match self.peek() {
            b'{' => self.list(b'{', b'}', |it| {
                it.blanks();
                it.string() && {
                    it.blanks();
                    it.take(b':') && it.value()
                }
            }),
            b'[' => self.list(b'[', b']', Reader::value),
            b'"' => self.string(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn list(&mut self, open: u8, close: u8, item: fn(&mut Self) -> bool) -> bool {
        self.take(open);
        self.blanks();
        if self.take(close) {
            return true;
        }
        loop {
            if !item(self) {
                return false;
            }
            self.blanks();
            if !self.take(b',') {
                return self.take(close);
            }
        }
    }

    fn string(&mut self) -> bool {
        if !self.take(b'"') {
            return false;
        }
        loop {
            match self.peek() {
                b'"' => return self.take(b'"'),
                b'\\' => {
                    self.at += 1;
                    let digits = if self.take(b'u') { 4 } else { 0 };
                    let good = match digits {
                        0 => b"\"\\/bfnrt".contains(&self.peek()) && self.at < self.text.len(),
                        _ => {
                            self.text.iter().skip(self.at).take(4).filter(|b| b.is_ascii_hexdigit()).count()
                                == 4
                        }
                    };
                    if !good {
                        return false;
                    }
                    self.at += digits.max(1);
                }
                0..=0x1f => return false,
                _ => self.at += 1,
            }
        }
    }

    fn digits(&mut self) -> bool {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        self.at > start
    }

    fn number(&mut self) -> bool {
        self.take(b'-');
        let whole = self.take(b'0') || self.digits();
        let fraction = !self.take(b'.') || self.digits();
        let exponent = !(self.take(b'e') || self.take(b'E')) || {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()
        };
        whole && fraction && exponent
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_is_json() {
        for good in [
            "{}",
            "[]",
            " [1, -0.5e+3 ,true,null] ",
            r#"{"a":{"b":[]},"c":"\"\\\u00e9\n"}"#,
            "\"é\"",
            "0",
            "10",
        ] {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_is_not() {
        for bad in [
            "",
            "{",
            "[1,]",
            "{\"a\":}",
            "{\"a\" 1}",
            "{a:1}",
            "01",
            "1.",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"",
            "\"\\\"",
            "tru",
            "1 2",
            "{}{}",
            "\"\n\"",
            "{\"a\":1,}",
            "-",
            "'a'",
        ] {
            assert!(check(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(check(b"\"\xff\"").is_err());
    }
}
