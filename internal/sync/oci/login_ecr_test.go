package oci_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	stdsync "sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/oci/ocitest"
)

const ecrHost = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"

// fakeAWS is ECR's and STS's endpoint. Its passwords last twelve hours.
type fakeAWS struct {
	mu     stdsync.Mutex
	calls  []string // what was called, by whom, in which region
	issued int
	ends   time.Time
	refuse func(w http.ResponseWriter, action string) bool
}

func (a *fakeAWS) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	body, _ := io.ReadAll(req.Body)
	action := "?"
	if target := req.Header.Get("X-Amz-Target"); target != "" {
		_, action, _ = strings.Cut(target, ".")
	} else if form, err := url.ParseQuery(string(body)); err == nil {
		action = form.Get("Action")
	}
	// Authorization: AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, …
	scope := strings.Split(strings.TrimPrefix(strings.Split(req.Header.Get("Authorization"), ",")[0], "AWS4-HMAC-SHA256 Credential="), "/")
	call := action
	if len(scope) > 2 {
		call += " " + scope[0] + " " + scope[2]
	}
	if strings.Contains(string(body), "ExternalId=") {
		call += " external-id"
	}
	a.calls = append(a.calls, call)
	if a.refuse != nil && a.refuse(w, action) {
		return
	}
	switch action {
	case "GetAuthorizationToken":
		a.issued++
		a.ends = time.Now().Add(12 * time.Hour)
		token := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "AWS:password-%d", a.issued))
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		fmt.Fprintf(w, `{"authorizationData":[{"authorizationToken":%q,"expiresAt":%d,"proxyEndpoint":"https://x"}]}`, token, a.ends.Unix())
	case "AssumeRole", "AssumeRoleWithWebIdentity":
		w.Header().Set("Content-Type", "text/xml")
		fmt.Fprintf(w, `<%[1]sResponse><%[1]sResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%[2]s</Expiration></Credentials></%[1]sResult></%[1]sResponse>`,
			action, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	default:
		w.WriteHeader(http.StatusBadRequest)
	}
}

func (a *fakeAWS) called() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls
}

// guard makes a registry answer as ECR does: 401 without a login, 403 with a
// password that has ended.
func (a *fakeAWS) guard(w http.ResponseWriter, req *http.Request, honest http.Handler) {
	_, password, ok := req.BasicAuth()
	a.mu.Lock()
	current, over := fmt.Sprintf("password-%d", a.issued), !time.Now().Before(a.ends)
	a.mu.Unlock()
	switch {
	case !ok:
		w.Header().Set("Www-Authenticate", `Basic realm="https://`+ecrHost+`/",service="ecr.amazonaws.com"`)
		w.WriteHeader(http.StatusUnauthorized)
	case password != current || over:
		ocitest.Fail(w, http.StatusForbidden, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
	default:
		honest.ServeHTTP(w, req)
	}
}

// quietAWS takes away what the machine could know of AWS.
func quietAWS(t *testing.T) {
	t.Helper()
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "",
		"AWS_ROLE_ARN": "", "AWS_WEB_IDENTITY_TOKEN_FILE": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "",
	} {
		t.Setenv(name, value)
	}
}

// startECR serves a registry as ECR and a fake AWS, and opens a source there.
func startECR(t *testing.T, aws *fakeAWS, change func(*oci.Config)) (*oci.Repository, *ocitest.Registry) {
	t.Helper()
	quietAWS(t)
	t.Setenv("AWS_ENDPOINT_URL", "http://"+startHTTP(t, aws))
	registry := newRegistry()
	registry.Push("0.0.0", "manifests.tgz", []byte("archive"), day)
	registry.Break(ocitest.Fault{Answer: aws.guard})
	address := startHTTP(t, registry)
	return open(t, ecrHost, func(c *oci.Config) {
		c.DialContext = func(ctx context.Context, network, to string) (net.Conn, error) {
			if strings.HasPrefix(to, ecrHost) {
				to = address
			}
			return (&net.Dialer{}).DialContext(ctx, network, to)
		}
		if change != nil {
			change(c)
		}
	}), registry
}

func TestECR(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "key")
	write(t, keys, "secret\n")
	tests := []struct {
		name  string
		env   map[string]string
		ecr   oci.ECRConfig
		calls []string
	}{
		{"static keys", nil, oci.ECRConfig{AccessKey: "AKIASTATIC", SecretKey: "secret"}, []string{"GetAuthorizationToken AKIASTATIC eu-central-1"}},
		{"keys in files, another region", nil, oci.ECRConfig{Region: "us-gov-west-1", AccessKey: "AKIASTATIC", SecretKeyFile: keys}, []string{"GetAuthorizationToken AKIASTATIC us-gov-west-1"}},
		{"the default chain", map[string]string{"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "s"}, oci.ECRConfig{}, []string{"GetAuthorizationToken AKIAENV eu-central-1"}},
		{"static keys before the default chain", map[string]string{"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "s"}, oci.ECRConfig{AccessKey: "AKIASTATIC", SecretKey: "secret"}, []string{"GetAuthorizationToken AKIASTATIC eu-central-1"}},
		{"a role", nil, oci.ECRConfig{AccessKey: "AKIASTATIC", SecretKey: "secret", RoleARN: "arn:aws:iam::1:role/x", ExternalID: "e"}, []string{"AssumeRole AKIASTATIC eu-central-1 external-id", "GetAuthorizationToken ASIAROLE eu-central-1"}},
		{"a role by the default chain", map[string]string{"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "s"}, oci.ECRConfig{RoleARN: "arn:aws:iam::1:role/x"}, []string{"AssumeRole AKIAENV eu-central-1", "GetAuthorizationToken ASIAROLE eu-central-1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			aws := &fakeAWS{}
			r, _ := startECR(t, aws, func(c *oci.Config) { c.Auth.ECR = tt.ecr })
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			for range 2 {
				got, err := sync(t.Context(), r, "0.0.0")
				require.NoError(t, err)
				assert.Equal(t, "archive", string(got))
			}
			assert.Equal(t, tt.calls, aws.called(), "once, and kept")
		})
	}
}

// Pod Identity gives credentials at an address in the environment.
func TestECRByPodIdentity(t *testing.T) {
	aws := &fakeAWS{}
	r, _ := startECR(t, aws, nil)
	agent := startHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "pod-token" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, `{"AccessKeyId":"ASIAPOD","SecretAccessKey":"s","Token":"t","Expiration":%q}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://"+agent+"/v1/credentials")
	t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", write(t, filepath.Join(t.TempDir(), "token"), "pod-token"))
	_, err := sync(t.Context(), r, "0.0.0")
	require.NoError(t, err)
	assert.Equal(t, []string{"GetAuthorizationToken ASIAPOD eu-central-1"}, aws.called())
}

// IRSA gives a web identity, which STS takes without a signature.
func TestECRByIRSA(t *testing.T) {
	aws := &fakeAWS{}
	r, _ := startECR(t, aws, nil)
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/specman")
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", write(t, filepath.Join(t.TempDir(), "token"), "a.b.c"))
	_, err := sync(t.Context(), r, "0.0.0")
	require.NoError(t, err)
	assert.Equal(t, []string{"AssumeRoleWithWebIdentity", "GetAuthorizationToken ASIAROLE eu-central-1"}, aws.called())
}

func TestECRFaults(t *testing.T) {
	awsError := func(status int, code string) func(http.ResponseWriter, string) bool {
		return func(w http.ResponseWriter, _ string) bool {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"__type":%q,"message":"because"}`, code)
			return true
		}
	}
	static := oci.ECRConfig{AccessKey: "AKIASTATIC", SecretKey: "secret"}
	tests := []struct {
		name   string
		ecr    oci.ECRConfig
		refuse func(http.ResponseWriter, string) bool
		kind   oci.Kind
		says   string
		hint   string
		calls  int // at most
	}{
		{"not allowed", static, awsError(400, "AccessDeniedException"), oci.Forbidden, "because", "ecr:GetAuthorizationToken", 1},
		{"a key that is none", static, awsError(400, "UnrecognizedClientException"), oci.Unauthorized, "because", "source.auth.ecr.accessKey", 1},
		{"a clock that is wrong", static, awsError(400, "InvalidSignatureException"), oci.Unauthorized, "because", "", 1},
		{"down", static, awsError(503, "ServiceUnavailable"), oci.Unavailable, "because", "", 2},
		{"nothing configured", oci.ECRConfig{}, nil, oci.Unauthorized, "", "IRSA, Pod Identity", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			aws := &fakeAWS{refuse: tt.refuse}
			r, registry := startECR(t, aws, func(c *oci.Config) { c.Auth.ECR = tt.ecr })
			_, err := r.Tags(t.Context())
			e := failure(t, err)
			assert.Equal(t, tt.kind, e.Kind, "%v", e)
			assert.Equal(t, "token", e.Operation)
			assert.Contains(t, e.Error(), "eu-central-1")
			assert.Contains(t, e.Error(), tt.says)
			assert.Contains(t, e.Cure, tt.hint)
			assert.LessOrEqual(t, len(aws.called()), tt.calls)
			assert.Equal(t, 1, registry.Count(ocitest.Tags))
		})
	}
}

func TestECREndpointUnreachable(t *testing.T) {
	r, _ := startECR(t, &fakeAWS{}, func(c *oci.Config) { c.Auth.ECR = oci.ECRConfig{AccessKey: "AKIASTATIC", SecretKey: "secret"} })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	t.Setenv("AWS_ENDPOINT_URL", "http://"+listener.Addr().String())
	_, err = r.Tags(t.Context())
	e := failure(t, err)
	assert.Equal(t, oci.Network, e.Kind, "%v", e)
	assert.Contains(t, e.Cure, "VPC endpoints")
	assert.NotContains(t, e.Error(), "secret")
}

// A week of polls meets one new password every 11.5 hours and no failure; a
// clock or a revocation that ends one early costs one request more.
func TestECRPasswordsEnd(t *testing.T) {
	quietAWS(t)
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	t.Setenv("AWS_ENDPOINT_URL", "http://aws.test")
	synctest.Test(t, func(t *testing.T) {
		aws, registry := &fakeAWS{}, newRegistry()
		registry.Push("0.0.0", "manifests.tgz", []byte("archive"), day)
		registry.Break(ocitest.Fault{Answer: aws.guard})
		atAWS, atECR := ocitest.NewPipe(aws), ocitest.NewPipe(registry)
		defer synctest.Wait()
		defer atAWS.Close()
		defer atECR.Close()
		r, err := oci.Open(oci.Config{
			Repository: ecrHost + "/" + repository, PlainHTTP: true,
			Auth: oci.AuthConfig{ECR: oci.ECRConfig{AccessKey: "AKIASTATIC", SecretKey: "secret"}},
			DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
				if strings.HasPrefix(to, "aws.test") {
					return atAWS.Dial(ctx, network, to)
				}
				return atECR.Dial(ctx, network, to)
			},
		})
		require.NoError(t, err)
		poll := func() {
			_, err := r.Tags(t.Context())
			require.NoError(t, err)
			_, err = r.Resolve(t.Context(), "0.0.0")
			require.NoError(t, err)
		}
		polls := 0
		for end := time.Now().Add(7 * 24 * time.Hour); time.Now().Before(end); time.Sleep(5 * time.Minute) {
			poll()
			polls++
		}
		assert.Len(t, aws.called(), 15, "7 days of 11.5 hours")
		extra := len(registry.Requests()) - 2*polls
		assert.LessOrEqual(t, extra, 15, "one challenge each time")
		for _, request := range registry.Requests() {
			require.NotEqual(t, http.StatusForbidden, request.Status, "none was met after its end")
		}

		aws.mu.Lock()
		aws.ends = time.Now()
		aws.mu.Unlock()
		registry.Forget()
		poll()
		assert.Equal(t, map[string]int{"tags": 3, "head": 1}, registry.Counts(), "403, challenge, answer")
		registry.Forget()
		poll()
		assert.Equal(t, map[string]int{"tags": 1, "head": 1}, registry.Counts())
	})
}

// Public ECR is read without AWS.
func TestPublicECR(t *testing.T) {
	quietAWS(t)
	for _, provider := range []string{"", "ecr"} {
		registry := newRegistry()
		registry.RequireToken("", "")
		address := startHTTP(t, registry)
		_, err := open(t, "public.ecr.aws", func(c *oci.Config) {
			c.Auth.Provider = provider
			c.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, address)
			}
		}).Tags(t.Context())
		require.NoError(t, err)
	}
}

func TestECRRegionOfHost(t *testing.T) {
	for host, want := range map[string]string{
		"123456789012.dkr.ecr.us-east-1.amazonaws.com":           "us-east-1",
		"123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com":  "us-gov-west-1",
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn":       "cn-north-1",
		"123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov":          "us-iso-east-1",
		"123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov":      "us-isob-east-1",
		"123456789012.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk":     "eu-isoe-west-1",
		"123456789012.dkr.ecr.us-isof-south-1.csp.hci.ic.gov":    "us-isof-south-1",
		"123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu":       "eusc-de-east-1",
		"123456789012.dkr-ecr.us-west-2.on.aws":                  "us-west-2",
		"123456789012.DKR.ECR.us-east-1.amazonaws.com":           "us-east-1",
		"123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.test": "",
		"harbor.example":   "",
		"public.ecr.aws":   "",
		"1.dkr.ecr.x.c.de": "",
	} {
		got, err := oci.ECRRegion(host)
		assert.Equal(t, want, got, host)
		assert.Equal(t, want == "", err != nil, host)
	}
}
