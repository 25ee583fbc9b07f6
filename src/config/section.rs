//! How a declaration of keys becomes a table of keys, and a tree of texts the declared values.

use super::error::ConfigProblem;
use super::keys::{Key, Owner};
use super::kinds::{Form, Kind};
use super::tree::{Node, Origin, Value};

/// Something that can be set: a single key, a list, or a section with keys below it.
pub trait Setting {
    /// As the program uses it.
    type Value;

    /// Puts its keys into a table; `path` is where it stands, `about` what it is for, `owner` whose it is unless a key
    /// below says it itself.
    fn keys(path: &str, about: &'static str, owner: Option<Owner>, table: &mut Vec<Key>);

    /// Reads it.
    ///
    /// # Errors
    /// When it is missing or does not fit.
    fn read(at: &Reader<'_>) -> Result<Self::Value, ConfigProblem>;
}

/// Declares a section: from one line a key come the field, the key in the table, and its reading. A field is named as
/// its key, or the key stands in parentheses. Before what it is for stands whose it is (see [`Owner`]), where files
/// are the gateway's. `for` declares the keys of a struct that is there already.
macro_rules! section {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($field:ident $(($key:literal))?: $kind:ty, $($owner:ident,)? $about:literal;)*
    }) => {
        $(#[$meta])*
        $vis struct $name {
            $(#[doc = $about] pub $field: <$kind as $crate::config::section::Setting>::Value,)*
        }
        $crate::config::section::section! { for $name { $($field $(($key))?: $kind, $($owner,)? $about;)* } }
    };
    (for $name:ty { $($field:ident $(($key:literal))?: $kind:ty, $($owner:ident,)? $about:literal;)* }) => {
        impl $crate::config::section::Setting for $name {
            type Value = Self;

            fn keys(
                path: &str,
                _: &'static str,
                owner: Option<$crate::config::keys::Owner>,
                table: &mut Vec<$crate::config::keys::Key>,
            ) {
                $({
                    let key = $crate::config::section::section!(key $field $($key)?);
                    let whole = $crate::config::section::below(path, key);
                    $(let owner = $crate::config::section::section!(owner $owner).or(owner);)?
                    <$kind as $crate::config::section::Setting>::keys(&whole, $about, owner, table);
                })*
            }

            fn read(
                at: &$crate::config::section::Reader<'_>,
            ) -> Result<Self, $crate::config::error::ConfigProblem> {
                Ok(Self {$(
                    $field: <$kind as $crate::config::section::Setting>::read(
                        &at.at($crate::config::section::section!(key $field $($key)?)),
                    )?,
                )*})
            }
        }
    };
    (owner request) => { Some($crate::config::keys::Owner::Request) };
    (owner live) => { Some($crate::config::keys::Owner::Live) };
    (owner restart) => { Some($crate::config::keys::Owner::Restart) };
    (key $field:ident) => { stringify!($field) };
    (key $field:ident $key:literal) => { $key };
}
pub(super) use section;

impl<K: Kind> Setting for K {
    type Value = K::Value;

    fn keys(path: &str, about: &'static str, owner: Option<Owner>, table: &mut Vec<Key>) {
        let path = path.to_owned();
        table.push(Key {
            path,
            about,
            owner,
            form: K::FORM,
            check: |text| K::parse(text).map(drop),
            schema: K::schema,
        });
    }

    fn read(at: &Reader<'_>) -> Result<K::Value, ConfigProblem> {
        match at.node {
            None => K::absent().ok_or_else(|| at.invalid("is missing")),
            Some(_) => K::parse(at.text()?).map_err(|why| at.invalid(&why)),
        }
    }
}

/// A list of single texts.
pub struct List<K>(std::marker::PhantomData<K>);

impl<K: Kind> Setting for List<K> {
    type Value = Vec<K::Value>;

    fn keys(path: &str, about: &'static str, owner: Option<Owner>, table: &mut Vec<Key>) {
        table.push(Key {
            path: path.to_owned(),
            about,
            owner,
            form: Form::List,
            check: |text| K::parse(text).map(drop),
            schema: || serde_json::json!({"type": "array", "items": K::schema()}),
        });
    }

    fn read(at: &Reader<'_>) -> Result<Self::Value, ConfigProblem> {
        // Whatever is wrong with an item is told of the list.
        let read = |item: Reader<'_>| K::read(&Reader { path: at.path.clone(), ..item });
        at.items().map(read).collect()
    }
}

/// A list of sections; absent is empty.
impl<T: Setting> Setting for Vec<T> {
    type Value = Vec<T::Value>;

    fn keys(path: &str, about: &'static str, owner: Option<Owner>, table: &mut Vec<Key>) {
        T::keys(&below(path, "[]"), about, owner, table);
    }

    fn read(at: &Reader<'_>) -> Result<Self::Value, ConfigProblem> {
        at.items().map(|item| T::read(&item)).collect()
    }
}

/// The whole key of one that stands below another.
pub(super) fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A place in the tree.
pub struct Reader<'a> {
    /// What is written there; none when nothing is.
    node: Option<&'a Node>,
    /// Where it was set, or what it belongs to.
    origin: &'a Origin,
    path: String,
}

impl<'a> Reader<'a> {
    /// The whole tree.
    pub(super) fn root(tree: &'a Node) -> Self {
        Self { node: Some(tree), origin: &tree.origin, path: String::new() }
    }

    /// A dotted key below.
    pub(super) fn at(&self, key: &str) -> Self {
        self.of(self.node.and_then(|node| node.at(key)), below(&self.path, key))
    }

    fn of(&self, node: Option<&'a Node>, path: String) -> Self {
        let origin = node.map_or(self.origin, |node| &node.origin);
        Self { node: node.filter(|node| node.value != Value::Empty), origin, path }
    }

    /// The text that is written there.
    pub(super) fn text(&self) -> Result<&'a str, ConfigProblem> {
        self.node.and_then(Node::text).ok_or_else(|| self.invalid("must be a single value"))
    }

    /// Whether it is a single text and not a section or list.
    pub(super) fn is_text(&self) -> bool {
        self.node.is_some_and(|node| node.text().is_some())
    }

    /// The items of a list; none when there is none.
    fn items(&self) -> impl Iterator<Item = Reader<'a>> {
        let items: &[Node] = match self.node.map(|node| &node.value) {
            Some(Value::List(items)) => items,
            _ => &[],
        };
        items.iter().enumerate().map(|(n, item)| self.of(Some(item), format!("{}[{n}]", self.path)))
    }

    /// The names of a section and what stands below them; none when there is none.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, Reader<'a>)> {
        let entries: &[(String, Node)] = match self.node.map(|node| &node.value) {
            Some(Value::Map(entries)) => entries,
            _ => &[],
        };
        entries.iter().map(|(name, node)| (name.as_str(), self.of(Some(node), below(&self.path, name))))
    }

    /// What is wrong here.
    pub(super) fn invalid(&self, why: &str) -> ConfigProblem {
        ConfigProblem::Invalid { at: self.origin.clone(), key: self.path.clone(), why: why.to_owned() }
    }
}
