//! Invites that a device gave out: each expires, and works for one device.

use super::{InviteSecret, InviteTag};
use crate::id::DeviceId;

/// Invites that are open at a time.
const OPEN_MAX: usize = 16;
/// How often the device that used an invite may come again. Each time is a try for somebody in the middle who
/// knows the secret, at one in a million.
const USES_MAX: u32 = 5;
/// Milliseconds for which an invite that is over is remembered, so that its end can be told from a mistake.
const REMEMBERED_MS: u64 = 3_600_000;

/// Why an invite opens nothing. The numbers are on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub enum InviteRefusal {
    /// No such invite here.
    #[error("this invite is not known there; `shoal pair` on the other device makes a new one")]
    Unknown = 1,
    /// Its time is over.
    #[error("this invite has expired; `shoal pair` on the other device makes a new one")]
    Expired = 2,
    /// Another device used it.
    #[error(
        "this invite was used by another device already; if that was none of yours refuse it there, and make a new invite with `shoal pair`"
    )]
    Used = 3,
    /// Too many at once.
    #[error("too many devices pair there at the moment; try again in a minute")]
    Busy = 4,
}

/// The invites of a device.
#[derive(Debug, Default)]
pub struct OpenInvites(Vec<Given>);

#[derive(Debug)]
struct Given {
    secret: InviteSecret,
    until_ms: u64,
    used_by: Option<DeviceId>,
    uses: u32,
}

impl OpenInvites {
    /// Gives out an invite until a moment. Times are milliseconds of one clock, whichever it is.
    ///
    /// # Errors
    /// [`InviteRefusal::Busy`] while 16 are open.
    pub fn give(
        &mut self,
        now_ms: u64,
        secret: InviteSecret,
        until_ms: u64,
    ) -> Result<(), InviteRefusal> {
        self.0
            .retain(|given| now_ms < given.until_ms.saturating_add(REMEMBERED_MS));
        let open = self.0.iter().filter(|given| given.until_ms > now_ms);
        if open.count() >= OPEN_MAX {
            return Err(InviteRefusal::Busy);
        }
        self.0.push(Given {
            secret,
            until_ms,
            used_by: None,
            uses: 0,
        });
        Ok(())
    }

    /// The secret of an invite that is open, for anybody who does not show who it is.
    ///
    /// # Errors
    /// See [`InviteRefusal`].
    pub fn find(&self, now_ms: u64, tag: &InviteTag) -> Result<InviteSecret, InviteRefusal> {
        let given = self.0.iter().find(|given| given.secret.tag() == *tag);
        match given {
            None => Err(InviteRefusal::Unknown),
            Some(given) if given.until_ms <= now_ms => Err(InviteRefusal::Expired),
            Some(given) => Ok(given.secret.clone()),
        }
    }

    /// The secret of an invite that is open for this device.
    ///
    /// # Errors
    /// See [`InviteRefusal`].
    pub fn find_for(
        &self,
        now_ms: u64,
        tag: &InviteTag,
        device: &DeviceId,
    ) -> Result<InviteSecret, InviteRefusal> {
        let secret = self.find(now_ms, tag)?;
        let open = self.0.iter().any(|given| {
            given.secret == secret
                && given.used_by.is_none_or(|by| by == *device)
                && given.uses < USES_MAX
        });
        open.then_some(secret).ok_or(InviteRefusal::Used)
    }

    /// A device has proven that it knows the secret: from now on the invite is for that device alone, which may
    /// come again if its connection broke.
    ///
    /// # Errors
    /// See [`InviteRefusal`].
    pub fn use_by(
        &mut self,
        now_ms: u64,
        tag: &InviteTag,
        device: &DeviceId,
    ) -> Result<(), InviteRefusal> {
        let secret = self.find_for(now_ms, tag, device)?;
        for given in self.0.iter_mut().filter(|given| given.secret == secret) {
            given.used_by = Some(*device);
            given.uses += 1;
        }
        Ok(())
    }

    /// Ends an invite at once: it was taken back, or the device that brought it is a member now.
    pub fn end(&mut self, now_ms: u64, tag: &InviteTag) {
        for given in &mut self.0 {
            if given.secret.tag() == *tag {
                given.until_ms = given.until_ms.min(now_ms);
            }
        }
    }
}

impl InviteRefusal {
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::Unknown, Self::Expired, Self::Used, Self::Busy]
            .into_iter()
            .find(|refusal| *refusal as u8 == code)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ONE: DeviceId = DeviceId([1; 32]);
    const TWO: DeviceId = DeviceId([2; 32]);

    #[test]
    fn an_invite_expires_and_works_once() {
        let mut open = OpenInvites::default();
        let secret = InviteSecret([7; 16]);
        let tag = secret.tag();
        assert_eq!(open.find(0, &tag), Err(InviteRefusal::Unknown));
        open.give(0, secret.clone(), 100).unwrap();
        assert_eq!(open.find(99, &tag), Ok(secret));
        assert_eq!(open.use_by(50, &tag, &ONE), Ok(()));
        assert_eq!(open.use_by(50, &tag, &ONE), Ok(()), "it comes again");
        assert_eq!(open.use_by(50, &tag, &TWO), Err(InviteRefusal::Used));
        assert_eq!(open.find_for(50, &tag, &TWO), Err(InviteRefusal::Used));
        while open.use_by(50, &tag, &ONE).is_ok() {}
        assert_eq!(open.use_by(50, &tag, &ONE), Err(InviteRefusal::Used));
        assert_eq!(open.find(100, &tag), Err(InviteRefusal::Expired));
        assert_eq!(open.use_by(100, &tag, &ONE), Err(InviteRefusal::Expired));
    }

    #[test]
    fn an_ended_invite_is_told_from_an_unknown_one_for_a_while() {
        let mut open = OpenInvites::default();
        let tag = InviteSecret([7; 16]).tag();
        open.give(0, InviteSecret([7; 16]), 1000).unwrap();
        open.end(10, &tag);
        assert_eq!(open.find(10, &tag), Err(InviteRefusal::Expired));
        open.give(REMEMBERED_MS + 10, InviteSecret([8; 16]), u64::MAX)
            .unwrap();
        assert_eq!(open.find(10, &tag), Err(InviteRefusal::Unknown));
    }

    #[test]
    fn not_more_than_sixteen_are_open() {
        let mut open = OpenInvites::default();
        for n in 0..OPEN_MAX {
            open.give(0, InviteSecret([n as u8; 16]), 100).unwrap();
        }
        let another = || InviteSecret([99; 16]);
        assert_eq!(open.give(99, another(), 200), Err(InviteRefusal::Busy));
        assert_eq!(open.give(100, another(), 200), Ok(()));
    }
}
