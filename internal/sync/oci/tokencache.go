package oci

import (
	"context"
	"sync"
	"time"

	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// tokenCache is oras-go's cache of logins, and can be emptied, which that
// cannot: oras-go replaces a token only when it is answered by 401.
type tokenCache struct {
	validUntil func() time.Time // nil: nothing is known of an end

	mu     sync.Mutex
	inner  auth.Cache
	scheme auth.Scheme
}

func newTokenCache(validUntil func() time.Time) *tokenCache {
	return &tokenCache{inner: auth.NewCache(), validUntil: validUntil}
}

func (c *tokenCache) current() auth.Cache {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inner
}

func (c *tokenCache) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inner, c.scheme = auth.NewCache(), auth.SchemeUnknown
}

// renewable says whether dropping the cache can bring other credentials: new
// bearer tokens are issued, and some logins make new passwords, but a user name
// and password stay what they are.
func (c *tokenCache) renewable(l login) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.scheme == auth.SchemeBearer && !l.fixedToken || c.scheme == auth.SchemeBasic && l.forget != nil
}

func (c *tokenCache) GetScheme(ctx context.Context, registry string) (auth.Scheme, error) {
	return c.current().GetScheme(ctx, registry)
}

func (c *tokenCache) GetToken(ctx context.Context, registry string, scheme auth.Scheme, key string) (string, error) {
	if c.validUntil != nil {
		if end := c.validUntil(); !end.IsZero() && !time.Now().Before(end) {
			return "", errdef.ErrNotFound
		}
	}
	return c.current().GetToken(ctx, registry, scheme, key)
}

func (c *tokenCache) Set(ctx context.Context, registry string, scheme auth.Scheme, key string, fetch func(context.Context) (string, error)) (string, error) {
	if ex := exchangeOf(ctx); ex != nil {
		ex.mu.Lock()
		ex.loggedIn = true
		ex.mu.Unlock()
	}
	token, err := c.current().Set(ctx, registry, scheme, key, fetch)
	if err == nil {
		c.mu.Lock()
		c.scheme = scheme
		c.mu.Unlock()
	}
	return token, err
}
