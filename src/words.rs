//! Enums of words: the names of the words and what they mean, defined in one place for code, tables and documentation.

/// Makes an enum from a list of words, each with its variant, its name and its meaning.
macro_rules! words {
    ($(#[$meta:meta])* $enum:ident { $($variant:ident $name:literal $doc:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $enum { $(#[doc = $doc] $variant),* }
        impl $enum {
            /// Every word of the enum, in the order of the list.
            pub const ALL: &'static [$enum] = &[$($enum::$variant),*];
            /// The word's name, as in SQL and Parquet.
            pub const fn name(self) -> &'static str { match self { $($enum::$variant => $name),* } }
            /// What the word means, for the documentation.
            pub const fn doc(self) -> &'static str { match self { $($enum::$variant => $doc),* } }
            /// The variant whose name this is; `None` if it is no name.
            pub fn parse(word: &str) -> Option<$enum> { match word { $($name => Some($enum::$variant),)* _ => None } }
        }
    };
}
pub(crate) use words;
