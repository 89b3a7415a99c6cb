//! Lists of words: an enum, the words' names and what they mean, said once.

/// Makes an enum of words with their names and docs in one list.
macro_rules! words {
    ($(#[$meta:meta])* $enum:ident { $($variant:ident $name:literal $doc:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $enum { $(#[doc = $doc] $variant),* }
        impl $enum {
            /// Every word, in the order of the list.
            pub const ALL: &'static [$enum] = &[$($enum::$variant),*];
            /// The word in SQL and Parquet.
            pub const fn name(self) -> &'static str { match self { $($enum::$variant => $name),* } }
            /// What it means, for the documentation.
            pub const fn doc(self) -> &'static str { match self { $($enum::$variant => $doc),* } }
            /// The value of a word.
            pub fn parse(word: &str) -> Option<$enum> { match word { $($name => Some($enum::$variant),)* _ => None } }
        }
    };
}
pub(crate) use words;
