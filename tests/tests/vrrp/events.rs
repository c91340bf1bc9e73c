//! What `xlvs events` tells of virtual routers.

use anyhow::{Context as _, Result};
use lb_tests::with_site;

use crate::pair::Program::Xlvs;
use crate::pair::{Pair, VIP, router};

#[test]
fn who_follows_the_backup_is_told_that_it_takes_over() -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let mut first = Xlvs.start(&pair.first, &router(100))?;
        pair.first.wait_held(VIP)?;
        let second = Xlvs.start(&pair.second, &router(90))?;
        let events = second.director().context("it is xlvs")?.follow()?;
        first.kill()?;
        let master = events.wait("router", |event| event["to"] == "MASTER")?;
        assert_eq!((&master["from"], &master["priority"]), (&"BACKUP".into(), &90.into()), "{master}");
        assert!(master["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{master}");
        Ok(())
    })
}
