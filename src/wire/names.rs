//! The stream that a publisher used last.

use crate::wire::ids::StreamName;

use super::action::Name;

/// The stream of the last put in the usual form. A next put to it is recognised by its bytes, and its name costs neither an
/// allocation nor a reference count. A listener never puts: for it this is a null pointer.
#[derive(Debug, Default)]
pub(super) struct Latest(Option<Box<StreamName>>);

impl Latest {
    /// The remembered name; empty if there is none, since no valid name is.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_deref().map_or(b"", |name| name.as_str().as_bytes())
    }

    /// The name, to hand out; `again` if it was handed out before.
    #[inline]
    pub(super) fn name(&self, again: bool) -> Option<Name<'_>> {
        let name = self.0.as_deref()?;
        Some(if again { Name::Again(name) } else { Name::Kept(name) })
    }

    /// Remembers a name from now on. False if the bytes are not a valid name.
    pub(super) fn set(&mut self, name: &[u8]) -> bool {
        let Some(name) = std::str::from_utf8(name).ok().and_then(|name| StreamName::new(name).ok()) else { return false };
        match &mut self.0 {
            Some(latest) => **latest = name,
            latest @ None => *latest = Some(Box::new(name)),
        }
        true
    }
}
