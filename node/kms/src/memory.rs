//! A service in memory, for tests: the same promises, kept with a key that is gone with the process.

use std::sync::Arc;

use parking_lot::Mutex;
use storage_crypto::{Binding, Entropy, Key, Purpose, open, seal};

use crate::{Answer, Context, Kms, KmsError};

const KEY_VERSION: u32 = 1;
const ENDPOINT: &str = "memory";

/// How the service behaves from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// It answers.
    #[default]
    Willing,
    /// Its key is disabled.
    Disabled,
    /// Its key is gone for good.
    Forgotten,
    /// Nobody reaches it.
    Unreachable,
}

/// A service with one key, in memory.
pub struct MemoryKms {
    name: String,
    key: Key,
    entropy: Arc<dyn Entropy>,
    mood: Mutex<Mood>,
}

impl MemoryKms {
    /// A service whose key has this name.
    #[must_use]
    pub fn new(name: &str, entropy: Arc<dyn Entropy>) -> MemoryKms {
        MemoryKms { name: name.to_owned(), key: Key::generate(&*entropy), entropy, mood: Mutex::default() }
    }

    /// Behaves like this from now on.
    pub fn be(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }

    fn willing(&self) -> Result<(), KmsError> {
        let (key, said) = (self.name.clone(), "by the test".to_owned());
        match *self.mood.lock() {
            Mood::Willing => Ok(()),
            Mood::Disabled => Err(KmsError::UnusableKey { key, said }),
            Mood::Forgotten => Err(KmsError::UnknownKey { key, said }),
            Mood::Unreachable => Err(KmsError::Unreachable { endpoint: ENDPOINT.to_owned(), said }),
        }
    }
}

fn binding(context: &Context) -> Binding {
    let start = Binding::new(Purpose::RootKey).bytes(b"key management service in memory");
    context.pairs().iter().fold(start, |binding, (name, value)| binding.bytes(name.as_bytes()).bytes(value.as_bytes()))
}

impl Kms for MemoryKms {
    fn encrypt<'a>(&'a self, seal_key: &'a Key, context: &'a Context) -> Answer<'a, Vec<u8>> {
        Box::pin(async move {
            self.willing()?;
            Ok(seal(&self.key, KEY_VERSION, &binding(context), seal_key.expose(), &*self.entropy))
        })
    }

    fn decrypt<'a>(&'a self, encrypted_seal_key: &'a [u8], context: &'a Context) -> Answer<'a, Key> {
        Box::pin(async move {
            self.willing()?;
            let opened = open(&self.key, &binding(context), encrypted_seal_key).ok();
            let key = opened.and_then(|bytes| Key::from_slice(bytes.expose()));
            key.ok_or_else(|| KmsError::Mismatch { key: self.name.clone() })
        })
    }
}
