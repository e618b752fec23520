//! Enums whose variants tell a reader of `docs/reference/` what they are, in the words that stand beside them here.

/// Declares the enum as it stands, and `DOCS`: the name of each variant with its doc comment.
macro_rules! documented {
    (
        $(#[doc = $about:literal])+
        #[derive($($derive:ident),+)]
        #[serde($($serde:tt)+)]
        pub enum $Name:ident {
            $($(#[doc = $doc:literal])+ $Variant:ident $(($Inner:ty))? $({ $($field:tt)+ })?,)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive($($derive),+)]
        #[serde($($serde)+)]
        pub enum $Name {
            $($(#[doc = $doc])+ $Variant $(($Inner))? $({ $($field)+ })?,)+
        }

        impl $Name {
            /// The variants, and the lines that say what they are.
            pub const DOCS: &'static [(&'static str, &'static [&'static str])] =
                &[$((stringify!($Variant), &[$($doc),+])),+];
        }
    };
}

pub(super) use documented;
