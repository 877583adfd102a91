package main

import (
	"github.com/spf13/cobra"
)

func newServeCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Poll the sources, keep what was pushed, serve it over HTTPS",
		GroupID: groupService,
		Long: `Run the service. What the store holds is served at once, registry or no registry;
then each source is polled, what is new is unpacked into the store, and the served
tree is swapped in one step when it is whole.

  :8443  (http.listen)  the tree, over HTTPS
  :8080  (ops.listen)   /metrics, /livez, /readyz, the status page and the API

SIGTERM and Ctrl-C end it in order: running answers may end, a sync that is under
way leaves nothing behind. SIGHUP polls now.`,
		Example: `  # a registry with a self-signed certificate
  specman serve --source.repository harbor.example.com/spectro-packs/spectro-manifests/manifest \
    --source.tls.caFile harbor-ca.crt \
    --source.auth.username robot\$palette --source.auth.passwordFile password

  # a folder that ` + "`specman push`" + ` fills, without any registry
  specman serve --source.repository oci-layout:/srv/manifests --store.dir ./store`,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := newService(app)
		if err != nil {
			return err
		}
		return s.run(cmd.Context())
	}
	return cmd
}
