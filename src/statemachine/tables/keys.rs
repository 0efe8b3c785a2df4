//! Building and taking apart keys.

use super::Table;
use crate::Fault;

/// Names the rows of one run: its slot and its run id as 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunKey {
    pub slot: u16,
    pub run: [u8; 16],
}

impl RunKey {
    /// `None` if the run id is not a UUID.
    pub fn new(namespace_id: &str, workflow_id: &str, run_id: &str) -> Option<Self> {
        Some(Self { slot: crate::slot_of(namespace_id, workflow_id), run: id_bytes(run_id)? })
    }

    /// Start of the keys of this run in a table of its slot.
    pub fn in_table(&self, table: Table) -> KeyWriter {
        KeyWriter::new(self.slot, table).raw(&self.run)
    }
}

/// Appends the parts of a key.
#[derive(Debug, Clone)]
pub struct KeyWriter(Vec<u8>);

impl KeyWriter {
    pub fn new(slot: u16, table: Table) -> Self {
        let mut bytes = Vec::with_capacity(48);
        bytes.extend_from_slice(&slot.to_be_bytes());
        bytes.push(table as u8);
        Self(bytes)
    }

    /// Goes on with the beginning of a key.
    pub fn resume(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn u8(self, value: u8) -> Self {
        self.raw(&[value])
    }

    pub fn u16(self, value: u16) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub fn u64(self, value: u64) -> Self {
        self.raw(&value.to_be_bytes())
    }

    /// A non-negative number: times, event ids.
    pub fn i64(self, value: i64) -> Self {
        self.u64(value.max(0) as u64)
    }

    /// Text in the middle of a key: its length first.
    pub fn text(self, text: &str) -> Self {
        self.u16(text.len() as u16).raw(text.as_bytes())
    }

    pub fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Takes a key apart; every method fails on a key that is too short.
pub struct KeyReader<'k>(&'k [u8]);

impl<'k> KeyReader<'k> {
    /// Skips slot and table.
    pub fn new(key: &'k [u8]) -> Result<Self, Fault> {
        let mut reader = Self(key);
        reader.raw(3)?;
        Ok(reader)
    }

    pub fn raw(&mut self, n: usize) -> Result<&'k [u8], Fault> {
        if self.0.len() < n {
            return Err(Fault::corrupt("key", "too short"));
        }
        let (head, tail) = self.0.split_at(n);
        self.0 = tail;
        Ok(head)
    }

    pub fn u8(&mut self) -> Result<u8, Fault> {
        Ok(self.raw(1)?[0])
    }

    pub fn u16(&mut self) -> Result<u16, Fault> {
        let bytes = self.raw(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub fn u64(&mut self) -> Result<u64, Fault> {
        Ok(self.raw(8)?.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
    }

    pub fn i64(&mut self) -> Result<i64, Fault> {
        Ok(self.u64()? as i64)
    }

    pub fn id(&mut self) -> Result<[u8; 16], Fault> {
        let mut id = [0; 16];
        id.copy_from_slice(self.raw(16)?);
        Ok(id)
    }

    pub fn text(&mut self) -> Result<String, Fault> {
        let n = usize::from(self.u16()?);
        Ok(String::from_utf8_lossy(self.raw(n)?).into_owned())
    }
}

/// The least key above all keys that start with `prefix`.
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![u8::MAX; prefix.len() + 1]
}

/// The 16 bytes of a UUID in its usual text form.
pub fn id_bytes(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    if text.len() != 36 || [8, 13, 18, 23].iter().any(|&at| text[at] != b'-') {
        return None;
    }
    let mut id = [0u8; 16];
    let mut digits = text.iter().filter(|&&byte| byte != b'-');
    for byte in &mut id {
        let high = char::from(*digits.next()?).to_digit(16)?;
        let low = char::from(*digits.next()?).to_digit(16)?;
        *byte = (high * 16 + low) as u8;
    }
    digits.next().is_none().then_some(id)
}

/// A UUID's usual text form, lower case.
pub fn id_text(id: &[u8; 16]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(36);
    for (at, byte) in id.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_a_round_trip() {
        let text = "32049b68-7872-4094-8e63-d0dd59896a83";
        assert_eq!(id_text(&id_bytes(text).expect("a UUID")), text);
        assert_eq!(id_bytes("32049b68-7872-4094-8e63-d0dd59896a8"), None);
        assert_eq!(id_bytes("32049b68+7872-4094-8e63-d0dd59896a83"), None);
        assert_eq!(id_bytes("-2049b68-7872-4094-8e63-d0dd59896a83"), None);
    }

    #[test]
    fn the_end_of_a_prefix_is_above_all_its_keys() {
        assert_eq!(prefix_end(&[1, 2]), vec![1, 3]);
        assert_eq!(prefix_end(&[1, 255]), vec![2]);
        assert!(prefix_end(&[255, 255]) > vec![255, 255]);
    }
}
