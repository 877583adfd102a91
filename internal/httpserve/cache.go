package httpserve

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"

	"github.com/specman/specman/internal/variant"
)

// maxCached is the largest body that is held in memory: 256 KiB.
const maxCached = 256 << 10

// cacheKey names bytes: the sha256 of a file's content as published, the coding
// that the bytes are in, and the tag of the coded bytes. Equal files share their
// place, whatever their paths and releases are.
type cacheKey struct {
	sum    [sha256.Size]byte
	coding variant.Coding
	tag    variant.Tag
}

// cached is a body in memory. It is immutable.
type cached struct {
	body []byte
	sum  [sha256.Size]byte // sha256 of body
}

// overhead is what a cached body costs beside its bytes: key, item, map slot.
const overhead = 256

// bodyCache holds the bodies that were asked for, up to a bound in bytes. It
// evicts as SIEVE does (Zhang et al., NSDI 2024): a hit sets one bit and moves
// nothing, so that readers share a read lock only, and a pass over rarely used
// bodies does not push out those in use.
type bodyCache struct {
	shards []cacheShard
}

type cacheShard struct {
	mu    sync.RWMutex
	items map[cacheKey]*cacheItem
	size  int64 // bytes it may hold
	room  int64 // bytes of them that are free
	// The items, newest to oldest; eviction goes from old to new, and hand is
	// where it goes on.
	newest, oldest, hand *cacheItem

	_ [64]byte // keeps the locks of two shards off one cache line
}

type cacheItem struct {
	cached
	key          cacheKey
	used         atomic.Bool
	newer, older *cacheItem
}

// newBodyCache returns a cache of that many bytes; nil, which holds nothing,
// where not even one body would fit.
func newBodyCache(bytes int64) *bodyCache {
	// A shard must have room for a few of the largest bodies.
	shards := min(bytes/(4*maxCached), 64)
	if shards == 0 {
		if bytes < overhead {
			return nil
		}
		shards = 1
	}
	c := &bodyCache{shards: make([]cacheShard, shards)}
	for n := range c.shards {
		c.shards[n].items = make(map[cacheKey]*cacheItem)
		c.shards[n].size = bytes / shards
		c.shards[n].room = bytes / shards
	}
	return c
}

func (c *bodyCache) shard(key *cacheKey) *cacheShard {
	return &c.shards[(int(key.sum[0])<<8|int(key.sum[1]))%len(c.shards)]
}

func (c *bodyCache) get(key cacheKey) (*cached, bool) {
	s := c.shard(&key)
	s.mu.RLock()
	item, ok := s.items[key]
	s.mu.RUnlock()
	if !ok {
		return nil, false
	}
	if !item.used.Load() { // a store that changes nothing would still cost the other cores their copy
		item.used.Store(true)
	}
	return &item.cached, true
}

func (c *bodyCache) put(key cacheKey, body *cached) {
	s := c.shard(&key)
	cost := int64(cap(body.body)) + overhead
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items[key] != nil || cost > s.size {
		return
	}
	for s.room < cost {
		s.evict()
	}
	s.room -= cost
	item := &cacheItem{cached: *body, key: key, older: s.newest}
	if s.newest != nil {
		s.newest.newer = item
	} else {
		s.oldest = item
	}
	s.newest = item
	s.items[key] = item
}

// evict drops the next item that was not used since the hand was there. There
// must be one.
func (s *cacheShard) evict() {
	item := s.hand
	for item == nil || item.used.Swap(false) {
		if item != nil {
			item = item.newer
		}
		if item == nil {
			item = s.oldest
		}
	}
	s.hand = item.newer
	if item.newer != nil {
		item.newer.older = item.older
	} else {
		s.newest = item.older
	}
	if item.older != nil {
		item.older.newer = item.newer
	} else {
		s.oldest = item.newer
	}
	delete(s.items, item.key)
	s.room += int64(cap(item.body)) + overhead
}
