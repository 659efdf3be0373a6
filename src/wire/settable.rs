//! Structs that may get more fields: users begin with the defaults and set what they want otherwise.

/// Makes a method of each field, which sets it. First what the examples use, then fields with a type and a value for the example.
macro_rules! setters {
    ($uses:literal; $type:ident { $($field:ident: $value:ty, $example:literal;)* }) => {
        impl $type {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](field@Self::", stringify!($field), ").")]
                #[doc = ""]
                #[doc = "```"]
                #[doc = concat!("# use ", $uses, ";")]
                #[doc = concat!("let changed = ", stringify!($type), "::default().", stringify!($field), "(", $example, ");")]
                #[doc = concat!("assert_ne!(changed, ", stringify!($type), "::default());")]
                #[doc = "```"]
                #[must_use]
                pub fn $field(mut self, $field: $value) -> Self {
                    self.$field = $field.into();
                    self
                }
            )*
        }
    };
}

pub(crate) use setters;
