//! Words of text and their ids, in order of first occurrence.

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;
use hashbrown::hash_table::{Entry, HashTable};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use crate::{Error, Result};

/// Word -> id. Words lie side by side in one buffer; the table holds ids only.
#[derive(Debug, Default)]
pub struct WordTable {
    letters: String,
    ends: Vec<usize>,
    ids: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl WordTable {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The words in the order of their ids.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|id| word(&self.letters, &self.ends, id as u32))
    }

    /// The id of `text` as one word; a new one where it was not seen before.
    ///
    /// # Errors
    /// More than 2^32 - 1 words.
    pub fn id(&mut self, text: &str) -> Result<u32> {
        let Self { letters, ends, ids, hasher } = self;
        let next = ends.len();
        let equal = |&id: &u32| word(letters, ends, id) == text;
        match ids.entry(hasher.hash_one(text), equal, |&id| hasher.hash_one(word(letters, ends, id))) {
            Entry::Occupied(entry) => Ok(*entry.get()),
            Entry::Vacant(entry) => {
                let id = u32::try_from(next)
                    .map_err(|_| Error::invalid("words", format!("{next} distinct words"), "less than 2^32"))?;
                entry.insert(id);
                letters.push_str(text);
                ends.push(letters.len());
                Ok(id)
            }
        }
    }

    /// Append the ids of the words of `text` to `ids`.
    pub fn encode(&mut self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        for word in words(text) {
            ids.push(self.id(word)?);
        }
        Ok(())
    }
}

fn word<'a>(letters: &'a str, ends: &[usize], id: u32) -> &'a str {
    let start = if id == 0 { 0 } else { ends[id as usize - 1] };
    &letters[start..ends[id as usize]]
}

#[derive(Clone, Copy, PartialEq)]
enum Class {
    Space,
    Word,
    Other,
}

const ASCII: [Class; 128] = {
    let mut classes = [Class::Other; 128];
    let mut byte = 0;
    while byte < 128 {
        classes[byte] = match byte as u8 {
            b'\t'..=b'\r' | 0x1C..=0x1F | b' ' => Class::Space,
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' => Class::Word,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
};

/// Python's `\w` (letters, numbers, underscore) and `\s`.
fn class(character: char) -> Class {
    if character.is_ascii() {
        return ASCII[character as usize];
    }
    if character.is_whitespace() {
        return Class::Space;
    }
    match character.general_category_group() {
        GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number => Class::Word,
        _ => Class::Other,
    }
}

/// Runs of word characters, and every other character that is not white space by itself: `\w+|[^\w\s]`.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    let bytes = text.as_bytes();
    let mut at = 0;
    // (class, bytes) of the character at `at`.
    let next = move |at: usize| {
        let byte = bytes[at];
        if byte < 128 {
            (ASCII[byte as usize], 1)
        } else {
            let character = text[at..].chars().next().expect("`at` lies inside the text");
            (class(character), character.len_utf8())
        }
    };
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let start = at;
            let (first, length) = next(at);
            at += length;
            match first {
                Class::Space => continue,
                Class::Other => return Some(&text[start..at]),
                Class::Word => {}
            }
            while at < bytes.len() {
                let (class, length) = next(at);
                if class != Class::Word {
                    break;
                }
                at += length;
            }
            return Some(&text[start..at]);
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One character after the other, each looked up by itself.
    fn obvious(text: &str) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let mut inside = false;
        for character in text.chars() {
            let word = class(character) == Class::Word;
            if word && inside {
                found.last_mut().unwrap().push(character);
            } else if class(character) != Class::Space {
                found.push(character.to_string());
            }
            inside = word;
        }
        found
    }

    proptest! {
        #[test]
        fn words_are_the_runs(text in "[ab_1.,\u{a0} éß一²\n-]{0,40}|\\PC{0,20}") {
            prop_assert_eq!(words(&text).collect::<Vec<_>>(), obvious(&text));
        }

        #[test]
        fn ids_stand_for_their_words_and_grow_by_one(texts in prop::collection::vec("[a-c ]{0,12}", 0..6)) {
            let mut table = WordTable::default();
            let mut ids = Vec::new();
            for text in &texts {
                table.encode(text, &mut ids).unwrap();
            }
            let known: Vec<&str> = table.words().collect();
            let spelled: Vec<&str> = ids.iter().map(|&id| known[id as usize]).collect();
            prop_assert_eq!(spelled, texts.iter().flat_map(|text| words(text)).collect::<Vec<_>>());
            let mut highest = 0;
            for id in ids {
                prop_assert!(id <= highest);
                highest = highest.max(id + 1);
            }
            prop_assert_eq!(highest as usize, table.len());
        }
    }
}
