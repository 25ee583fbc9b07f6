//! Names that people choose: parsed once at the door, safe everywhere behind it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name that is not allowed, with the rule it broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be a name: use 1 to 40 of a-z, 0-9 and -, with no - at either end")]
pub struct InvalidName {
    /// What was given.
    pub text: String,
}

fn check(text: &str) -> Result<(), InvalidName> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = (1..=40).contains(&text.len());
    let inner_dashes = !text.starts_with('-') && !text.ends_with('-');

    if fits && inner_dashes && text.bytes().all(allowed) {
        Ok(())
    } else {
        Err(InvalidName { text: text.to_owned() })
    }
}

/// Turns any text (a folder's name) into the nearest allowed name, if anything is left of it.
#[must_use]
pub fn suggest(text: &str) -> Option<String> {
    let mapped: String =
        text.to_ascii_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let mut words = mapped.split('-').filter(|word| !word.is_empty());
    let mut name = words.next()?.to_owned();
    for word in words {
        name.push('-');
        name.push_str(word);
    }
    name.truncate(40);
    Some(name.trim_end_matches('-').to_owned()).filter(|name| !name.is_empty())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Reads a name.
            ///
            /// # Errors
            /// When it is empty, longer than 40, or holds anything but `a–z`, `0–9` and inner `-`.
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                check(text).map(|()| Self(text.to_owned()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::parse(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }
    };
}

name!(
    /// A frame's name.
    ///
    /// Narrow on purpose. Podman, tmux, host names and URLs all accept it as it is,
    /// so no code behind this line ever has to escape one.
    FrameName
);
name!(
    /// A project's name; the same rule as [`FrameName`].
    ProjectName
);
name!(
    /// A token's name; the same rule as [`FrameName`].
    TokenName
);
name!(
    /// A secret's name; the same rule as [`FrameName`].
    SecretName
);
name!(
    /// A schedule's name; the same rule as [`FrameName`].
    ScheduleName
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_need_no_escaping_are_allowed_and_no_others() {
        for good in ["a", "blog", "my-api-2", &"x".repeat(40)] {
            assert!(FrameName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "a/b", "ä", "a b", &"x".repeat(41)] {
            assert!(FrameName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_folder_name_becomes_an_allowed_name() {
        assert_eq!(suggest("My API_v2").as_deref(), Some("my-api-v2"));
        assert_eq!(suggest("..."), None);
        assert_eq!(suggest(&"a-".repeat(40)).map(|name| FrameName::parse(&name).is_ok()), Some(true));
    }
}
