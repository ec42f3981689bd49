use scios::rpc::{Incoming, Responder};

use super::pages::Pages;

impl Pages {
    pub(super) fn survey(&self, _message: &Incoming<'_>, responder: Responder) {
        responder.malformed("no such question about pages");
    }
}
