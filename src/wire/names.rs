//! The name that a publisher uses.

use crate::wire::ids::StreamName;

use super::action::Name;

/// The name that the last unit in the usual form put to, so that the next one is known by its bytes, and costs neither an
/// allocation nor a reference count. A listener never puts: for it this is a null pointer.
#[derive(Debug, Default)]
pub(super) struct Latest(Option<Box<StreamName>>);

impl Latest {
    /// Remembered name, or empty; no valid name is empty.
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
