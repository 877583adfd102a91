package config

import "time"

const (
	sourcePrefix = "source."
	sourcesKey   = "sources"
)

// Keys is the table of all keys but `sources`, in the order in which help and
// reference print them. The caller owns the slice.
func Keys() []Key {
	var all []Key
	for _, section := range [][]Key{
		sourceKeys(), authKeys(), verifyKeys(), storeKeys(), gateKeys(), httpKeys(), opsKeys(), logKeys(),
	} {
		for _, k := range section {
			all = append(all, k)
			if k.Twin {
				all = append(all, fileTwin(k))
			}
		}
	}
	return all
}

// fileTwin is the key that names the file which holds the value of k.
func fileTwin(k Key) Key {
	return Key{
		Name: k.Name + "File", Kind: Text,
		Help: "File that holds " + k.Name + ". Use it for mounted Kubernetes Secrets: it is re-read within 10 s of a change, without a restart, " +
			"and one final line break is ignored. Set either it or " + k.Name + ", not both; of two places (flags, environment, file) the higher one counts.",
	}
}

func sourceKeys() []Key {
	const atLeastAMoment = int64(time.Millisecond)
	return []Key{
		{Name: "source.repository", Kind: Text, check: checkRepository,
			Help: "OCI repository to poll, as host[:port]/path. A leading https:// or oci:// and stray slashes are tolerated; oci-layout:DIR reads an OCI image layout on disk. " +
				"Empty: nothing is polled, and what the store holds or `specman import` brought is served."},
		{Name: "source.select", Kind: List, Default: "versions", Required: true,
			Help: "Selectors of the tags to follow, the top of the view first. `versions` is every MAJOR.MINOR.PATCH (optional v, no pre-release), a plain tag such as 0.0.0 is itself, " +
				"`semver:CONSTRAINT` is its highest match (a blank means AND), `tags:REGEXP` is every match, `sha256:…` is one manifest. " +
				"What `versions` or `tags:` match and is no archive (a chart, a signature) is passed over; what is asked for alone, by its name or by `semver:`, is a failure then."},
		{Name: "source.maxReleases", Kind: Int, Default: "32", Min: 1,
			Help: "Most releases that the patterns of a source may bring in together, but for the one that each `semver:` finds. Of more matches the highest versions are followed, 0.0.0 always among them if it matches; `specman status` names the rest."},
		{Name: "source.exclude", Kind: List,
			Help: "Tags or digests never to be followed, each by its whole name. Use it to keep a bad release out for good; `specman forget` does the same for one replica."},
		{Name: "source.archive", Kind: Text, Default: "manifests.tgz", Required: true,
			Help: "Title of the layer to unpack, of which only the base name is compared. Where no layer has it, the only layer is taken; for a tag that a pattern selected, " +
				"only if the manifest is of a type that ORAS itself writes. A release that is held keeps the layer that it was unpacked from: after a change, push it again."},
		{Name: "source.interval", Kind: Duration, Default: "1m", Min: int64(100 * time.Millisecond),
			Help: "How often the repository is polled, give or take 10 %. An idle poll is one tag list and one HEAD per followed tag."},
		{Name: "source.timeout", Kind: Duration, Default: "10m", Min: atLeastAMoment,
			Help: "Deadline of one sync, the bodies of blobs not counted. A download may take as long as it moves; see source.stallTimeout."},
		{Name: "source.stallTimeout", Kind: Duration, Default: "1m", Min: atLeastAMoment,
			Help: "A download that brings less than 64 KiB in this time has failed. It is resumed where the registry allows that."},
		{Name: "source.maxBackoff", Kind: Duration, Default: "5m", Min: atLeastAMoment,
			Help: "Longest wait between failed syncs. The wait doubles from failure to failure, and ends at once when a credential, a CA or the configuration changes. " +
				"Two waits may be longer: up to an hour where the registry asks for it (Retry-After), and 30 minutes from the fifth refused login (401) in a row on, so that no account is locked."},
		{Name: "source.plainHTTP", Kind: Bool, Default: "false",
			Help: "Talk HTTP without TLS to the registry. Credentials then cross the network in the clear."},
		{Name: "source.tls.caFile", Kind: Text,
			Help: "PEM bundle of certificate authorities to trust beside the system's. A self-signed server certificate is accepted here as its own root."},
		{Name: "source.tls.certFile", Kind: Text,
			Help: "PEM client certificate for registries that ask for one. Set it together with source.tls.keyFile."},
		{Name: "source.tls.keyFile", Kind: Text,
			Help: "PEM private key of source.tls.certFile. Set them together."},
		{Name: "source.tls.insecureSkipVerify", Kind: Bool, Default: "false",
			Help: "Accept any server certificate. It wins over source.tls.caFile and is warned about on every start; digests are checked all the same."},
	}
}

func authKeys() []Key {
	return []Key{
		{Name: "source.auth.provider", Kind: Text, Default: "auto", OneOf: []string{"auto", "anonymous", "basic", "docker", "ecr"},
			Help: "How to log in. `auto` takes basic if a username is given, ecr for an ECR host, docker if a docker configuration is found, else anonymous."},
		{Name: "source.auth.username", Kind: Text, Twin: true,
			Help: "User name for basic login. Harbor robots hold a $, so quote them in a shell."},
		{Name: "source.auth.password", Kind: Text, Secret: true, Twin: true,
			Help: "Password for basic login. Prefer source.auth.passwordFile: files are re-read when they change and do not show in a process list."},
		{Name: "source.auth.token", Kind: Text, Secret: true, Twin: true,
			Help: "Bearer token, for registries that take one instead of a password. It is sent as it is; an identity token, which is exchanged for one, belongs into source.auth.dockerConfig."},
		{Name: "source.auth.dockerConfig", Kind: Text,
			Help: "Path of a docker config.json or of a mounted .dockerconfigjson. The entry of the registry's host is used."},
		{Name: "source.auth.ecr.region", Kind: Text,
			Help: "AWS region of the registry. Empty: read from the ECR host name."},
		{Name: "source.auth.ecr.accessKey", Kind: Text, Secret: true, Twin: true,
			Help: "AWS access key. Empty: the SDK's default chain (IRSA, Pod Identity, instance role)."},
		{Name: "source.auth.ecr.secretKey", Kind: Text, Secret: true, Twin: true,
			Help: "AWS secret key of source.auth.ecr.accessKey. Empty: the SDK's default chain."},
		{Name: "source.auth.ecr.roleARN", Kind: Text,
			Help: "AWS role to assume before asking for an ECR token. The keys, or else the default chain, are what it is assumed with."},
		{Name: "source.auth.ecr.externalID", Kind: Text,
			Help: "External id that source.auth.ecr.roleARN asks for. Without a role it is refused."},
	}
}

func verifyKeys() []Key {
	return []Key{
		{Name: "source.verify.cosign.keys", Kind: List,
			Help: "Cosign public keys, any of which must have signed the manifest. Each is the path of a PEM file or the PEM block itself. What is not verified is never served; empty: not asked for. Not in this version, which refuses it."},
		{Name: "source.verify.notation.trustStore", Kind: Text,
			Help: "Folder of Notation's trust store (x509/ca/NAME/…). Set it together with source.verify.notation.trustPolicy. Not in this version, which refuses it."},
		{Name: "source.verify.notation.trustPolicy", Kind: Text,
			Help: "Notation's trustpolicy.json. Set it together with source.verify.notation.trustStore. Not in this version, which refuses it."},
		{Name: "source.verify.strict", Kind: Bool, Default: "false",
			Help: "What to do when a changed policy refuses a release that is served. false keeps serving it and reports it, true stops serving it. Not in this version, which refuses true."},
	}
}

func storeKeys() []Key {
	return []Key{
		{Name: "store.dir", Kind: Text, Default: "/var/lib/specman", Required: true,
			Help: "Folder of the store: the volume. One process at a time uses it; everything unfinished lies in its staging folder, so no other temporary space is needed."},
		{Name: "store.keep", Kind: Int, Default: "3",
			Help: "Releases kept per source beside those in use. They are what `specman rollback` can go back to; pinned ones stay beside them."},
		{Name: "store.maxTreeBytes", Kind: Size, Default: "8Gi", Min: 1,
			Help: "Largest archive, unpacked. A release above it is refused; it bounds what a hostile archive can do to the volume."},
		{Name: "store.maxFiles", Kind: Int, Default: "1000000", Min: 1,
			Help: "Most files in one archive, unpacked, and what links to folders add counts too. Folders, links and what is skipped have a limit of their own: the same number, but 10000 at least."},
		{Name: "store.maxFileBytes", Kind: Size, Default: "4Gi", Min: 1,
			Help: "Largest single file of an archive."},
		{Name: "store.minFree", Kind: Size, Default: "256Mi",
			Help: "Space that stays free on the volume. A sync that would go below it is refused before the download, and the refusal says how much is missing."},
		{Name: "store.grace", Kind: Duration, Default: "5m",
			Help: "A replaced tree stays on disk at least this long. Give it the length of the longest run of a client that pinned its base URL."},
		{Name: "store.scrubInterval", Kind: Duration, Default: "168h",
			Help: "How often the whole store is re-hashed in the background, at a bounded rate. 0 never does it; `specman verify` does it at once."},
	}
}

func gateKeys() []Key {
	return []Key{
		{Name: "gate.maxVanishedPercent", Kind: Int, Default: "0", Max: 100,
			Help: "Refuse a release by which more than this per cent of the files of the tag's last release would disappear. A tar made one folder up makes 100 of them disappear; 0 switches the gate off."},
		{Name: "gate.requirePaths", Kind: List, check: checkRequiredPath,
			Help: "Paths that the resulting view must hold, as /roar/nickfury/versions.yaml. A release without which one would be missing is refused."},
		{Name: "gate.command", Kind: List,
			Help: "Program and arguments to run before a release is served; no shell is involved. The path of the release's files, in which it must not write, is its last argument; exit 0 lets the release pass. What it has started ends with it, but for what has made a session of its own; while it cannot be started, no new release is served."},
		{Name: "gate.timeout", Kind: Duration, Default: "1m", Min: int64(time.Millisecond),
			Help: "Longest run of gate.command. A command that takes longer is ended, and has refused the release."},
	}
}

func httpKeys() []Key {
	return []Key{
		{Name: "http.listen", Kind: Text, Default: ":8443", Required: true, check: checkAddress,
			Help: "Address at which the tree is served over TLS. Port 0 takes a free one, which the log names."},
		{Name: "http.tls.certFile", Kind: Text,
			Help: "PEM certificate chain of the server. None: a self-signed one is made once, kept in the store and renewed before it ends. Set it together with http.tls.keyFile."},
		{Name: "http.tls.keyFile", Kind: Text,
			Help: "PEM private key of http.tls.certFile. ECDSA P-256 is the fastest for new connections."},
		{Name: "http.tls.hosts", Kind: List, Required: true,
			Default: "specman-service.hubble-system.svc.cluster.local,specman-service.hubble-system.svc,specman-service.hubble-system,specman-service,localhost,127.0.0.1",
			Help:    "Names and addresses in the self-signed certificate. Not used with http.tls.certFile."},
		{Name: "http.tls.clientCAFile", Kind: Text,
			Help: "PEM bundle of authorities of which every client must show a certificate. Empty: no client certificates."},
		{Name: "http.auth.htpasswdFile", Kind: Text,
			Help: "htpasswd file (bcrypt, as `htpasswd -B` writes it) for HTTP basic login. Empty: the tree is open to all, as SCAR's is."},
		{Name: "http.listing", Kind: Bool, Default: "true",
			Help: "List folders that have no index.html: HTML for people, JSON for programs."},
		{Name: "http.cacheBytes", Kind: Size, Default: "64Mi",
			Help: "Memory for small bodies that were asked for. 0 reads every body from the disk."},
		{Name: "http.compress", Kind: Bool, Default: "true",
			Help: "Make gzip and zstd variants of text once, after a release is served. It costs disk and saves about three quarters of the bytes on the wire."},
		{Name: "http.maxConnections", Kind: Int, Default: "10000", Min: 1,
			Help: "Most open connections to the tree. Further ones wait to be accepted."},
	}
}

func opsKeys() []Key {
	return []Key{
		{Name: "ops.listen", Kind: Text, Default: ":8080", Required: true, check: checkAddress,
			Help: "Address of metrics, health, status page and API, over plain HTTP. Keep it inside the cluster."},
		{Name: "ops.tokenFile", Kind: Text,
			Help: "File with the bearer token for the API calls that change something. None: those calls are refused on TCP; the control socket takes them without."},
		{Name: "ops.pprof", Kind: Bool, Default: "false",
			Help: "Serve Go's profiles at /debug/pprof/ of ops.listen."},
		{Name: "control.socket", Kind: Text, computed: "<store.dir>/control.sock",
			Help: "Unix socket (mode 0600) through which commands such as `specman status` talk to the running service. Empty: control.sock in store.dir."},
		{Name: "webhook.url", Kind: Text, check: checkURL,
			Help: "URL to which each swap of the view is POSTed, at least once. Only its scheme and host are ever printed. Not in this version, which refuses it."},
		{Name: "webhook.secretFile", Kind: Text,
			Help: "File with the key that signs what is sent to webhook.url. None: it is sent without a signature."},
	}
}

func logKeys() []Key {
	return []Key{
		{Name: "log.level", Kind: Text, Default: "info", OneOf: []string{"debug", "info", "warn", "error"},
			Help: "Least level that is logged. An idle poll says nothing above debug except its first two lines and what stands."},
		{Name: "log.format", Kind: Text, Default: "text", OneOf: []string{"text", "json"},
			Help: "Layout of the log on stderr. `text` is the time=… level=… msg=… of Palette's own services, `json` one object a line."},
		{Name: "log.access", Kind: Bool, Default: "false",
			Help: "Log one line per request to the tree."},
	}
}
