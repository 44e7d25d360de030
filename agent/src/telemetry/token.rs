//! The secret that opens the stream, and the file that it lies in.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use plasmon_protocol::error::Error;
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// No token file is longer, in bytes.
const MAX_FILE: u64 = 4 << 10;
/// Random bytes of a new token.
const RANDOM: usize = 32;

/// A secret. Never printed by `Debug`, compared without telling how much of a guess is right.
#[derive(Clone)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// 32 random bytes as hex.
    ///
    /// # Errors
    /// [`Error::System`] when the system gives no random bytes.
    pub fn random() -> Result<Self, Error> {
        let mut bytes = [0; RANDOM];
        getrandom::fill(&mut bytes).map_err(|cause| Error::system("draw a random token", cause))?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// A token from elsewhere; white space around it is not part of it.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is empty or could not stand in a header. The text is not repeated.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::invalid("token", "", "it is empty"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid("token", "...", "it has characters that cannot stand in a header"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The value of an `Authorization` header.
    #[must_use]
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// What a door keeps of it.
    #[must_use]
    pub fn digest(&self) -> TokenDigest {
        TokenDigest::of(self.0.as_bytes())
    }
}

/// A digest of a token; equal digests are equal tokens.
#[derive(Clone)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The digest of a guess.
    #[must_use]
    pub fn of(guess: &[u8]) -> Self {
        Self(Sha256::digest(guess).into())
    }

    /// Whether both are of the same token, in a time that does not depend on either.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// The token in `path`, which a client reads. Never makes one.
///
/// # Errors
/// [`Error::Connect`] when there is no such file. [`Error::Invalid`] when it is no regular file, a link, another user's,
/// accessible to others, empty, too long or no token. [`Error::System`] when it cannot be read.
pub fn load(path: &Path) -> Result<Token, Error> {
    read(path)?.ok_or_else(|| Error::Connect {
        action: format!("read the token file {}", path.display()),
        cause: "it does not exist; an agent makes it when it starts".to_owned(),
    })
}

/// The token in `path`, which an agent reads; made, with mode 0600, when there is none. Its directory is made too.
///
/// # Errors
/// As for [`load`]; [`Error::System`] when it cannot be made.
pub fn load_or_create(path: &Path) -> Result<Token, Error> {
    if let Some(token) = read(path)? {
        return Ok(token);
    }
    let failed = |cause: std::io::Error| Error::system(format!("make the token file {}", path.display()), cause);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let token = Token::random()?;
    // Written under another name first and then linked, so that nobody ever sees an empty or a half-written token.
    let draft = directory.join(format!(".token-{}", &Token::random()?.0[..16]));
    let linked = write(&draft, &token).and_then(|()| std::fs::hard_link(&draft, path));
    let removed = std::fs::remove_file(&draft);
    match linked {
        Ok(()) => removed.map(|()| token).map_err(failed),
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists => load(path),
        Err(cause) => Err(failed(cause)),
    }
}

fn write(path: &Path, token: &Token) -> std::io::Result<()> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(flags.bits() as i32).open(path)?;
    file.write_all(token.0.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn read(path: &Path) -> Result<Option<Token>, Error> {
    let shown = path.display().to_string();
    let refused = |cause: &str| Error::invalid("token file", shown.clone(), cause);
    let failed = |cause: std::io::Error| Error::system(format!("read the token file {shown}"), cause);
    // A fifo must not hold the caller up, hence non-blocking.
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) if cause.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(refused("it is a symbolic link; name the file itself"));
        }
        Err(cause) => return Err(failed(cause)),
    };
    check(&file, refused, failed)?;
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
    if text.trim().is_empty() {
        return Err(refused("it is empty; remove it, and the agent makes a new one"));
    }
    Token::parse(&text).map(Some).map_err(|_| refused("it holds characters that cannot stand in a header"))
}

fn check(file: &File, refused: impl Fn(&str) -> Error, failed: impl Fn(std::io::Error) -> Error) -> Result<(), Error> {
    let facts = file.metadata().map_err(failed)?;
    let us = rustix::process::geteuid().as_raw();
    if !facts.is_file() {
        return Err(refused("it is not a regular file"));
    }
    if facts.uid() != us {
        return Err(refused(&format!("it belongs to user {}, not to user {us}", facts.uid())));
    }
    if facts.mode() & 0o077 != 0 {
        return Err(refused(&format!("others can access it (mode {:04o}); run chmod 600 on it", facts.mode() & 0o7777)));
    }
    if facts.len() >= MAX_FILE {
        return Err(refused(&format!("it has {} bytes, which is no token", facts.len())));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
