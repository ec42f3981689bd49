//! The layers above a node's memberships: puts the parts of each together and lets the mount use those of the present one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use scios::cluster::{Ended, Machine, NoMachine, Standing, View};
use scios::memory::Memory;
use scios::node::{AnyCluster, LifeParts, Upper};

use super::life::LifeAbove;
use crate::fuse::files::{Attaching, FilesConfig, FilesService};
use crate::names::Founding;
use crate::node::{Files, Programs};
use crate::vm::Vm;

/// What the first membership brings along and all later ones share.
struct Lasting {
    files: Arc<Files>,
    service: FilesService,
    vm: Arc<Vm>,
}

pub(super) struct Above {
    founding: Founding,
    /// How long a request about names may take.
    patience: Duration,
    config: FilesConfig,
    lasting: OnceLock<Lasting>,
    lives: Mutex<BTreeMap<u64, Arc<LifeAbove>>>,
    /// Memberships that have ended and whose pages are still there.
    ended: Mutex<Vec<Arc<LifeAbove>>>,
    /// Why there is no life although there should be.
    failed: Mutex<Option<String>>,
}

impl Above {
    pub(super) fn new(founding: Founding, patience: Duration, config: FilesConfig) -> Arc<Self> {
        let (lasting, lives) = (OnceLock::new(), Mutex::default());
        let (ended, failed) = (Mutex::default(), Mutex::default());
        Arc::new(Self { founding, patience, config, lasting, lives, ended, failed })
    }

    pub(super) fn service(&self) -> Option<&FilesService> {
        self.lasting.get().map(|lasting| &lasting.service)
    }

    pub(super) fn failed(&self) -> Option<String> {
        self.failed.lock().clone()
    }

    fn lasting(&self, memory: &Arc<Memory>) -> Result<&Lasting, String> {
        if let Some(lasting) = self.lasting.get() {
            return Ok(lasting);
        }
        let files = Files::new(memory);
        let service = FilesService::start(self.config, Arc::clone(&files))
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        let vm = Vm::start(service.for_programs()).map_err(|error| error.to_string())?;
        service.set_attaching(Arc::clone(&vm) as Arc<dyn Attaching>);
        Ok(self.lasting.get_or_init(|| Lasting { files, service, vm }))
    }

    fn begin_life(&self, parts: &LifeParts<'_>) -> Result<Arc<LifeAbove>, String> {
        let lasting = self.lasting(parts.memory)?;
        self.wipe();
        let cache = lasting.service.cache();
        let watch = lasting.service.watch(parts.number);
        let programs = Arc::clone(&lasting.vm) as Arc<dyn Programs>;
        lasting.vm.show(parts.registry);
        LifeAbove::begin(parts, &lasting.files, (cache, programs), watch, (&self.founding, self.patience))
            .map(Arc::new)
            .map_err(|error| error.to_string())
    }

    fn life(&self, number: u64) -> Option<Arc<LifeAbove>> {
        self.lives.lock().get(&number).map(Arc::clone)
    }

    /// Gives back what ended memberships have left. Waits for the kernel.
    pub(super) fn wipe(&self) {
        let ended = std::mem::take(&mut *self.ended.lock());
        ended.iter().for_each(|life| life.pages().wipe());
    }
}

impl fmt::Debug for Above {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lives: Vec<_> = self.lives.lock().keys().copied().collect();
        f.debug_struct("Above").field("lives", &lives).finish_non_exhaustive()
    }
}

impl Upper for Above {
    fn begin(&self, parts: &LifeParts<'_>) -> Box<dyn Machine> {
        match self.begin_life(parts) {
            Ok(life) => {
                let machine = life.machine();
                self.lives.lock().insert(parts.number, life);
                machine
            }
            Err(why) => {
                tracing::error!(why, "this membership has no files");
                *self.failed.lock() = Some(why);
                Box::new(NoMachine)
            }
        }
    }

    fn cluster(&self, number: u64, cluster: &Arc<AnyCluster>) {
        let (Some(life), Some(service)) = (self.life(number), self.service()) else { return };
        service.begin(number, life.set_cluster(cluster));
    }

    fn view(&self, number: u64, view: &Arc<View>) {
        if let Some(life) = self.life(number) {
            life.view(view);
        }
    }

    fn standing(&self, number: u64, standing: Standing) {
        let (Some(life), Some(service)) = (self.life(number), self.service()) else { return };
        if standing == Standing::Serving {
            life.pages().serve();
            service.serve(number);
        } else {
            // Requests go on to arrive there: they wait until it serves again or has ended.
            life.pages().isolate();
        }
    }

    fn before_leave(&self) -> Option<u64> {
        let life = self.lives.lock().last_key_value().map(|(_, life)| Arc::clone(life))?;
        life.hand_over()
    }

    fn ended(&self, number: u64, how: &Ended) {
        tracing::info!(number, ?how, "a membership has ended");
        if let Some(service) = self.service() {
            service.end_life(number);
        }
        if let Some(life) = self.lives.lock().remove(&number) {
            life.end();
            self.ended.lock().push(life);
        }
    }
}
