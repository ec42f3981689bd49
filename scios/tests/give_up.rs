//! A node that gives its membership up begins another one by itself, as a new member of the same cluster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use scios::cluster::{Ended, Machine, NoMachine, Standing, View};
use scios::node::{AnyCluster, FabricKind, LifeParts, NoUpper, Node, NodeConfig, Upper};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn start(name: &str, join: Vec<String>, upper: Arc<dyn Upper>) -> Node {
    let config = NodeConfig {
        name: name.into(),
        listen: Some("127.0.0.1:0".into()),
        join,
        fabric: FabricKind::Tcp,
        memory_bytes: 16 << 20,
        secret: None,
        spin_us: 0,
        failure_timeout: Duration::from_secs(1),
        voters_max: 3,
    };
    Node::start(config, upper).unwrap()
}

/// Notes why memberships ended.
#[derive(Default)]
struct Ends(std::sync::Mutex<Vec<Ended>>);

impl Upper for Ends {
    fn begin(&self, _life: &LifeParts<'_>) -> Box<dyn Machine> {
        Box::new(NoMachine)
    }
    fn cluster(&self, _number: u64, _cluster: &Arc<AnyCluster>) {}
    fn view(&self, _number: u64, _view: &Arc<View>) {}
    fn standing(&self, _number: u64, _standing: Standing) {}
    fn ended(&self, _number: u64, how: &Ended) {
        self.0.lock().unwrap().push(how.clone());
    }
}

#[test]
fn a_node_that_gives_its_membership_up_becomes_a_new_member_of_the_same_cluster() {
    let founder = start("founder", Vec::new(), Arc::new(NoUpper));
    let ends = Arc::new(Ends::default());
    let node = start("node", vec![founder.life().address()], Arc::clone(&ends) as Arc<dyn Upper>);
    let before = node.life();
    let cluster = before.cluster().view().cluster;
    before.cluster().give_up("its test wants it");
    let deadline = Instant::now() + PATIENCE;
    while node.life().id() == before.id() {
        assert!(Instant::now() < deadline, "no new membership: {:?}", ends.0.lock().unwrap());
        std::thread::yield_now();
    }
    let after = node.life();
    assert_eq!(after.cluster().view().cluster, cluster);
    assert!(after.cluster().view().members().all(|member| member.id != before.id()));
    let ends = ends.0.lock().unwrap();
    let expelled = |end: &Ended| matches!(end, Ended::Expelled { why } if why.contains("its test wants it"));
    assert!(ends.first().is_some_and(expelled), "{ends:?}");
}
