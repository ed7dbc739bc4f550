//! Addresses that API servers ask from: by `--api-server-cidr`, and by the endpoints of the Service `default/kubernetes`.
//!
//! They open the reserve of `shares` and nothing else. Where an API server reaches RefGate through a tunnel, an agent or a
//! node, its requests come from an address that is in no list, and it has the share that every peer has.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use kube::Client;
use serde::Deserialize;
use tokio::sync::watch;

use crate::cluster::list::Reader;

/// Where the endpoints of the API servers are: the object `kubernetes` of this list.
const ENDPOINTS: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
/// Between two looks at them: control planes change rarely, and a new node has its share meanwhile.
const PERIOD: Duration = Duration::from_secs(30);
/// Most addresses that one EndpointSlice has (Kubernetes, `validateEndpointSlice`).
const MOST: usize = 1_000;

/// The addresses that are known. Cheap to clone; all clones see a change at once.
#[derive(Debug, Clone)]
pub struct ApiServers {
    ranges: Arc<[IpNet]>,
    endpoints: watch::Receiver<Arc<[IpAddr]>>,
}

impl ApiServers {
    /// Those of these ranges alone.
    pub fn of(ranges: impl IntoIterator<Item = IpNet>) -> Self {
        Self::with_endpoints(ranges).0
    }

    /// Those of these ranges, and those that [`follow`] finds.
    pub fn with_endpoints(ranges: impl IntoIterator<Item = IpNet>) -> (Self, watch::Sender<Arc<[IpAddr]>>) {
        // The sender may go: a receiver keeps the last value.
        let (publish, endpoints) = watch::channel(Arc::from([]));
        (Self { ranges: ranges.into_iter().collect(), endpoints }, publish)
    }

    /// Whether an API server is known to ask from here.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(&address)) || self.endpoints.borrow().contains(&address)
    }
}

#[derive(Deserialize)]
struct EndpointSlice {
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(default)]
    addresses: Vec<String>,
}

/// Reads the endpoints again and again. What cannot be read leaves what was known, and is said once.
pub async fn follow(client: Client, publish: watch::Sender<Arc<[IpAddr]>>) {
    let reader = Reader::new(client);
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_said = false;
    loop {
        ticks.tick().await;
        let read = reader.get(ENDPOINTS, "kubernetes").await.map_err(|error| error.to_string());
        match read.and_then(|text| addresses(&text)) {
            Ok(addresses) => {
                is_said = false;
                publish.send_replace(addresses);
            }
            Err(error) if !is_said => {
                is_said = true;
                tracing::warn!(
                    error,
                    "EndpointSlice default/kubernetes cannot be read: API servers are known by --api-server-cidr alone"
                );
            }
            Err(_) => {}
        }
    }
}

/// The addresses of an EndpointSlice; those that are names are none.
fn addresses(text: &str) -> Result<Arc<[IpAddr]>, String> {
    let slice: EndpointSlice = serde_json::from_str(text).map_err(|_| "it is no EndpointSlice".to_owned())?;
    let addresses = slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
    Ok(addresses.take(MOST).filter_map(|text| Some(text.parse::<IpAddr>().ok()?.to_canonical())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_by_a_range_or_as_an_endpoint() {
        let range: IpNet = "10.1.0.0/16".parse().unwrap();
        let (known, publish) = ApiServers::with_endpoints([range]);
        let contains = |text: &str| known.contains(text.parse().unwrap());
        assert_eq!([contains("10.1.2.3"), contains("10.2.0.1"), contains("fd00::1")], [true, false, false]);
        publish.send_replace(Arc::from(["fd00::1".parse().unwrap()]));
        assert_eq!([contains("10.1.2.3"), contains("fd00::1"), contains("fd00::2")], [true, true, false]);
        drop(publish);
        assert!(contains("fd00::1"), "what was known stays");
    }

    #[test]
    fn addresses_are_those_of_all_endpoints() {
        let slice = r#"{"kind":"EndpointSlice","addressType":"IPv4","endpoints":[{"addresses":["10.0.0.4"]},
            {"addresses":["::ffff:10.0.0.5","api.example.com"],"conditions":{"ready":true}},{}]}"#;
        let wanted: [IpAddr; 2] = ["10.0.0.4".parse().unwrap(), "10.0.0.5".parse().unwrap()];
        assert_eq!(*addresses(slice).unwrap(), wanted);
        assert!(addresses(r#"{"kind":"EndpointSlice"}"#).unwrap().is_empty());
        assert!(addresses("[").is_err());
    }
}
