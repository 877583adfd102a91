package oci

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// ecrHost is the name of a private registry in any partition: aws, aws-us-gov
// and aws-cn (amazonaws.com, .cn), the European sovereign cloud, and the iso
// ones; with -fips; and the dual-stack form under on.aws.
var ecrHost = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[0-9]{12}\.dkr[.-]ecr(-fips)?\.([a-z0-9-]+)\.` +
		`(amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov|on\.aws|on\.amazonwebservices\.com\.cn)$`)
})

// ecrHostRegion returns the region that the name of a private registry holds.
func ecrHostRegion(host string) (region string, ok bool) {
	host = strings.ToLower(host)
	if !strings.Contains(host, ".dkr") { // most registries: the expression is not even compiled for them
		return "", false
	}
	match := ecrHost().FindStringSubmatch(host)
	if match == nil {
		return "", false
	}
	return match[2], true
}

func isECR(host string) bool {
	_, ok := ecrHostRegion(host)
	return ok
}

// isPublicECR: it is read without a login, and has no API to ask for one here.
func isPublicECR(host string) bool { return host == "public.ecr.aws" || host == "ecr-public.aws.com" }

func (c ECRConfig) accessKey() secret {
	return secret{"source.auth.ecr.accessKey", c.AccessKey, c.AccessKeyFile}
}

func (c ECRConfig) secretKey() secret {
	return secret{"source.auth.ecr.secretKey", c.SecretKey, c.SecretKeyFile}
}

func (c ECRConfig) check() error {
	errs := []error{c.accessKey().check(), c.secretKey().check()}
	if c.accessKey().given() != c.secretKey().given() {
		errs = append(errs, errors.New("source.auth.ecr.accessKey and source.auth.ecr.secretKey must be given together; leave both empty for the default chain (IRSA, Pod Identity, instance role)"))
	}
	if c.ExternalID != "" && c.RoleARN == "" {
		errs = append(errs, errors.New("source.auth.ecr.externalID needs source.auth.ecr.roleARN"))
	}
	return errors.Join(errs...)
}

// ecrRegion prefers the setting, for registries behind a name of one's own.
func ecrRegion(host, setting string) (string, error) {
	if setting != "" {
		return setting, nil
	}
	if region, ok := ecrHostRegion(host); ok {
		return region, nil
	}
	return "", fmt.Errorf("source.auth.ecr.region is not set, and %s is no ECR host that names one", host)
}

// ecrSource makes ECR's passwords, which last 12 hours.
type ecrSource struct {
	host   string
	keys   [2]string // access and secret key; empty: the default chain
	cfg    ECRConfig
	region string
	client *awshttp.BuildableClient
	count  func(code string)

	mu     sync.Mutex
	issued auth.Credential
	renew  time.Time // a while before issued ends
}

// ecrLogin asks AWS for a password when the registry first wants one, and for a
// new one shortly before it ends.
func ecrLogin(cfg Config, host string) (login, error) {
	if isPublicECR(host) {
		return login{}, nil
	}
	c := cfg.Auth.ECR
	region, err := ecrRegion(host, c.Region)
	if err != nil {
		return login{}, err
	}
	accessKey, err := c.accessKey().read()
	if err != nil {
		return login{}, err
	}
	secretKey, err := c.secretKey().read()
	if err != nil {
		return login{}, err
	}
	// The CA counts for AWS's endpoints too, since private ones have the site's
	// certificates. To skip verification was asked for the registry alone.
	tlsConfig, err := TLSConfig{CAFile: cfg.TLS.CAFile}.load()
	if err != nil && !cfg.TLS.InsecureSkipVerify {
		return login{}, err
	}
	s := &ecrSource{
		host:   host,
		keys:   [2]string{accessKey, secretKey},
		cfg:    c,
		region: region,
		// The SDK's own client, since only to that it adds AWS_CA_BUNDLE.
		client: awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.TLSClientConfig = tlsConfig
			t.ResponseHeaderTimeout = cfg.StallTimeout
			if cfg.DialContext != nil {
				t.DialContext, t.Proxy = cfg.DialContext, nil
			}
		}),
		count: func(code string) { cfg.Metrics.request(cfg.Source, opToken, code) },
	}
	return login{credential: s.credential, forget: s.forget, validUntil: s.validUntil}, nil
}

func (s *ecrSource) credential(ctx context.Context, hostport string) (auth.Credential, error) {
	if hostport != s.host {
		return auth.EmptyCredential, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.issued != auth.EmptyCredential && time.Now().Before(s.renew) {
		return s.issued, nil
	}
	credential, ends, err := s.ask(ctx)
	if err != nil {
		e := s.explain(err)
		s.count(e.code())
		return auth.EmptyCredential, e
	}
	s.count("200")
	s.issued = credential
	// A sync that begins just before the end must not meet it.
	s.renew = ends.Add(-min(time.Until(ends)/10, 30*time.Minute))
	return credential, nil
}

func (s *ecrSource) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issued = auth.EmptyCredential
}

func (s *ecrSource) validUntil() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renew
}

// ask calls GetAuthorizationToken with, in this order, the static keys or the
// default chain, and the role assumed by either.
func (s *ecrSource) ask(ctx context.Context) (auth.Credential, time.Time, error) {
	options := []func(*config.LoadOptions) error{
		config.WithRegion(s.region),
		config.WithHTTPClient(s.client),
		config.WithRetryMaxAttempts(2), // the poller waits and tries again
	}
	if s.keys[0] != "" {
		options = append(options, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(s.keys[0], s.keys[1], "")))
	}
	if strings.Contains(s.host, "ecr-fips.") {
		options = append(options, config.WithUseFIPSEndpoint(aws.FIPSEndpointStateEnabled))
	}
	if strings.Contains(s.host, ".dkr-ecr") {
		options = append(options, config.WithUseDualStackEndpoint(aws.DualStackEndpointStateEnabled))
	}
	awsConfig, err := config.LoadDefaultConfig(ctx, options...)
	if err == nil && awsConfig.BaseEndpoint != nil {
		// The SDK reads AWS_ENDPOINT_URL after it has made the default chain,
		// whose calls of STS (IRSA) would go to the public endpoint.
		known := sts.NewFromConfig(awsConfig)
		options = append(options, config.WithWebIdentityRoleCredentialOptions(func(o *stscreds.WebIdentityRoleOptions) { o.Client = known }))
		awsConfig, err = config.LoadDefaultConfig(ctx, options...)
	}
	if err != nil {
		return auth.EmptyCredential, time.Time{}, err
	}
	if s.cfg.RoleARN != "" {
		role := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(awsConfig), s.cfg.RoleARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = "specman"
			if s.cfg.ExternalID != "" {
				o.ExternalID = aws.String(s.cfg.ExternalID)
			}
		})
		awsConfig.Credentials = aws.NewCredentialsCache(role)
	}
	answer, err := ecr.NewFromConfig(awsConfig).GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return auth.EmptyCredential, time.Time{}, err
	}
	if len(answer.AuthorizationData) == 0 {
		return auth.EmptyCredential, time.Time{}, errors.New("AWS answered without a token")
	}
	data := answer.AuthorizationData[0]
	decoded, err := base64.StdEncoding.DecodeString(aws.ToString(data.AuthorizationToken))
	username, password, ok := strings.Cut(string(decoded), ":")
	if err != nil || !ok {
		return auth.EmptyCredential, time.Time{}, errors.New("AWS answered with a token that is not base64 of user:password")
	}
	ends := time.Now().Add(12 * time.Hour)
	if data.ExpiresAt != nil {
		ends = *data.ExpiresAt
	}
	return auth.Credential{Username: username, Password: password}, ends, nil
}

// explain sorts what the SDK reports by whose fault it is.
func (s *ecrSource) explain(err error) *Error {
	e := &Error{Operation: opToken, Target: "ECR in " + s.region, Kind: Unauthorized, Err: err}
	var (
		api       smithy.APIError
		operation *smithy.OperationError
	)
	var answer interface{ HTTPStatusCode() int }
	if errors.As(err, &answer) {
		e.Status = answer.HTTPStatusCode()
	}
	if errors.As(err, &operation) {
		e.Target = operation.Service() + " in " + s.region
		e.Err = operation.Unwrap()
	}
	if errors.As(err, &api) {
		e.Err = fmt.Errorf("%s: %s", api.ErrorCode(), api.ErrorMessage())
		switch code := api.ErrorCode(); {
		case strings.Contains(code, "AccessDenied"), strings.Contains(code, "UnauthorizedOperation"):
			e.Kind = Forbidden
			e.Cure = "allow ecr:GetAuthorizationToken to the role or user; for source.auth.ecr.roleARN also sts:AssumeRole, with the external id that its trust policy asks for"
		case strings.Contains(code, "Throttl"), strings.Contains(code, "TooManyRequests"):
			e.Kind = RateLimited
		case strings.Contains(code, "Expired"), strings.Contains(code, "TooSkewed"), strings.Contains(code, "SignatureDoesNotMatch"):
			e.Cure = "check source.auth.ecr.secretKey, and this machine's clock"
		case api.ErrorFault() == smithy.FaultServer, e.Status >= 500:
			e.Kind = Unavailable
		default:
			e.Cure = "check source.auth.ecr.accessKey and secretKey, and that they belong to the partition of region " + s.region
		}
		return e
	}
	if e.Status >= 500 {
		e.Kind = Unavailable
		return e
	}
	if below := connectionError(err); below.Kind != Malformed {
		e.Kind, e.Err, e.Cure = below.Kind, below.Err, below.Cure
		if below.Kind == Network {
			e.Cure = "an air-gapped site needs VPC endpoints for ECR and STS (AWS_ENDPOINT_URL_ECR, AWS_ENDPOINT_URL_STS), or HTTPS_PROXY"
		}
		return e
	}
	e.Cure = "AWS credentials were found nowhere: set source.auth.ecr.accessKey and secretKey, or give the service account a role (IRSA, Pod Identity), or the node one"
	return e
}
