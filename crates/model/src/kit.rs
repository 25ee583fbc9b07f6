//! What a project's image may have besides what every frame has.

use std::path::Path;

/// A set of tools by one name.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
    strum::IntoStaticStr,
    utoipa::ToSchema,
)]
#[schema(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Kit {
    /// Rust's stable toolchain.
    Rust,
    /// Go.
    Go,
    /// A JDK and Maven.
    Java,
    /// PHP and Composer.
    Php,
    /// Ruby and Bundler.
    Ruby,
    /// A browser for Playwright and Puppeteer.
    Playwright,
    /// Headers for Python's C extensions.
    Python,
}

impl Kit {
    /// The files in a project's folder that ask for it.
    fn markers(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &["Cargo.toml"],
            Self::Go => &["go.mod"],
            Self::Java => &["pom.xml", "build.gradle", "build.gradle.kts"],
            Self::Php => &["composer.json"],
            Self::Ruby => &["Gemfile"],
            Self::Playwright => &["playwright.config.ts", "playwright.config.js"],
            Self::Python => &[],
        }
    }

    /// What a folder asks for, each with the file that does.
    pub fn wanted_by(is_there: impl Fn(&Path) -> bool) -> Vec<(Self, &'static str)> {
        let found = |kit: Self| {
            let marker = kit.markers().iter().find(|name| is_there(Path::new(name)))?;
            Some((kit, *marker))
        };
        <Self as strum::IntoEnumIterator>::iter().filter_map(found).collect()
    }

    /// All names, for people.
    #[must_use]
    pub fn names() -> String {
        <Self as strum::IntoEnumIterator>::iter().map(Into::<&str>::into).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_asks_for_what_its_files_need() {
        let folder = ["Cargo.toml", "README.md", "build.gradle"];
        let wanted = Kit::wanted_by(|name| folder.iter().any(|there| Path::new(there) == name));
        assert_eq!(wanted, [(Kit::Rust, "Cargo.toml"), (Kit::Java, "build.gradle")]);
        assert_eq!("playwright".parse(), Ok(Kit::Playwright));
        assert!("cobol".parse::<Kit>().is_err());
    }
}
