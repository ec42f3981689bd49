//! What the layers above a node are told of one membership, in which order.

use std::any::Any;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scios::cluster::{Ended, Machine, NoMachine, Outcome, Standing, View};
use scios::node::{AnyCluster, FabricKind, LifeParts, Node, NodeConfig, Upper};

#[derive(Default)]
struct Recorder(Mutex<Vec<&'static str>>);

impl Recorder {
    fn note(&self, number: u64, what: &'static str) {
        assert_eq!(number, 0);
        self.0.lock().unwrap().push(what);
    }
}

impl Upper for Recorder {
    fn begin(&self, life: &LifeParts<'_>) -> Box<dyn Machine> {
        self.note(life.number, "begin");
        Box::new(NoMachine)
    }
    fn cluster(&self, number: u64, _cluster: &Arc<AnyCluster>) {
        self.note(number, "cluster");
    }
    fn view(&self, number: u64, view: &Arc<View>) {
        assert_eq!((view.len(), view.departures), (1, 0));
        self.note(number, "view");
    }
    fn standing(&self, number: u64, standing: Standing) {
        if standing == Standing::Serving {
            self.note(number, "serves");
        }
    }
    fn ended(&self, number: u64, how: &Ended) {
        assert_eq!(*how, Ended::Left { orderly: true });
        self.note(number, "ended");
    }
    fn before_leave(&self) -> Option<u64> {
        self.note(0, "before_leave");
        Some(0)
    }
}

#[test]
fn a_membership_begins_shows_its_views_serves_and_ends_after_what_it_held_was_handed_over() {
    let upper = Arc::new(Recorder::default());
    let config = NodeConfig {
        name: "upper".into(),
        listen: Some("127.0.0.1:0".into()),
        join: Vec::new(),
        fabric: FabricKind::Tcp,
        memory_bytes: 16 << 20,
        secret: None,
        spin_us: 0,
        failure_timeout: Duration::from_secs(2),
        voters_max: 1,
    };
    let node = Node::start(config, Arc::clone(&upper) as Arc<dyn Upper>).unwrap();
    let life = node.life();
    let cluster = life.cluster();
    assert_eq!(cluster.propose_and_wait(vec![1], Duration::from_secs(2)), Ok(Outcome::Value(Vec::new())));
    assert!(cluster.leads() && cluster.leader() == Some(life.id()) && cluster.applied() > 1);
    assert!(cluster.machine(|machine| (&**machine as &dyn Any).is::<NoMachine>()));
    assert!(node.leave());
    assert!(!cluster.leads());
    let told = upper.0.lock().unwrap();
    assert_eq!(*told, ["begin", "cluster", "view", "serves", "before_leave", "ended"]);
}
