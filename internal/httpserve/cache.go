package httpserve

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/specman/specman/internal/variant"
)

// maxCached is the largest body that is held in memory: 256 KiB.
const maxCached = 1 << largestBuffer

// cacheKey names bytes: the sha256 of a file's content as published, the coding
// that the bytes are in, and the tag of the coded bytes. Equal files share their
// place, whatever their paths and releases are.
type cacheKey struct {
	sum    [sha256.Size]byte
	coding variant.Coding
	tag    variant.Tag
}

// hash is what the index knows a key by. The key itself lies with the body.
func (k *cacheKey) hash() uint64 {
	return binary.LittleEndian.Uint64(k.sum[8:]) ^ binary.LittleEndian.Uint64(k.tag[:]) + uint64(k.coding)
}

// cacheHeader is what lies before a body in its first page: its key, and the
// sha256 of the body.
type cacheHeader [2*sha256.Size + 1 + len(variant.Tag{})]byte

func headerOf(key *cacheKey, sum *[sha256.Size]byte) (h cacheHeader) {
	b := append(h[:0], key.sum[:]...)
	b = append(append(b, byte(key.coding)), key.tag[:]...)
	copy(h[len(b):], sum[:])
	return h
}

// pageCost is what a page takes in all: itself, its link, its item, and a place
// in the index, which each needs where bodies are small.
const pageCost = pageSize + 80

// bodyCache holds the bodies that were asked for, up to a bound in bytes, outside
// of the Go heap: there the collector would let as much garbage pile up as there
// are bodies. Bodies are copied in and out, within a shard's lock; nobody ever
// points to one, so none is read after its eviction.
//
// It evicts as SIEVE does (Zhang et al., NSDI 2024): a hit sets one bit and moves
// nothing, so that readers share a read lock only, and a pass over rarely used
// bodies does not push out those in use.
type bodyCache struct {
	shards []cacheShard
}

// cacheShard holds no pointers but to its four tables, and those hold none: the
// collector has nothing to look at, however many bodies there are.
type cacheShard struct {
	mu    sync.RWMutex
	index map[uint64]int32 // a key's hash → the first page of its body
	items []cacheItem      // by first page
	pages pages
	// The items, newest to oldest; eviction goes from old to new, and hand is
	// where it goes on. Each may be noPage.
	newest, oldest, hand int32

	_ [64]byte // keeps the locks of two shards off one cache line
}

type cacheItem struct {
	hash         uint64
	size         int32 // of the body
	newer, older int32
	used         atomic.Bool
}

// newBodyCache returns a cache that takes that many bytes; nil, which holds
// nothing, where not even one body would fit. The error is that of memory that is
// not to be had.
func newBodyCache(bytes int64) (*bodyCache, error) {
	shards, part := divide(bytes)
	if part == 0 {
		return nil, nil
	}
	memory, err := reserve(shards * part)
	if err != nil {
		return nil, err
	}
	c := newBodyCacheIn(memory, shards)
	releaseWith(&c.shards[0], memory)
	return c, nil
}

// divide says how many shards a cache of that many bytes has, and how many bytes
// of bodies each of them: the rest goes for what names the pages.
func divide(bytes int64) (shards, part int) {
	// A shard must have room for a few of the largest bodies.
	n := max(1, min(bytes/(4*maxCached), 64))
	return int(n), int(bytes/n/pageCost) * pageSize
}

func newBodyCacheIn(memory []byte, shards int) *bodyCache {
	c := &bodyCache{shards: make([]cacheShard, shards)}
	part := len(memory) / shards
	for n := range c.shards {
		s := &c.shards[n]
		s.index = make(map[uint64]int32)
		s.pages = newPages(memory[n*part:][:part])
		s.items = make([]cacheItem, len(s.pages.next))
		s.newest, s.oldest, s.hand = noPage, noPage, noPage
	}
	return c
}

func (c *bodyCache) shard(key *cacheKey) *cacheShard {
	return &c.shards[(int(key.sum[0])<<8|int(key.sum[1]))%len(c.shards)]
}

// get fills body, which must have the size of what the key names, and returns
// its sha256. If it is not ok, body is as it was.
func (c *bodyCache) get(key cacheKey, body []byte) (sum [sha256.Size]byte, ok bool) {
	s := c.shard(&key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	first, ok := s.index[key.hash()]
	if !ok {
		return sum, false
	}
	item := &s.items[first]
	header := s.pages.page(first)[:len(cacheHeader{})]
	sum = [sha256.Size]byte(header[len(header)-len(sum):])
	if int(item.size) != len(body) || cacheHeader(header) != headerOf(&key, &sum) {
		return sum, false
	}
	s.pages.read(first, len(header), body)
	if !item.used.Load() { // a store that changes nothing would still cost the other cores their copy
		item.used.Store(true)
	}
	return sum, true
}

// put keeps a copy of body.
func (c *bodyCache) put(key cacheKey, body []byte, sum [sha256.Size]byte) {
	header := headerOf(&key, &sum)
	need := pagesFor(len(header) + len(body))
	s := c.shard(&key)
	s.mu.Lock()
	defer s.mu.Unlock()
	// Of two keys with one hash the first is held: the other is read from disk.
	if _, taken := s.index[key.hash()]; taken || need > len(s.items) {
		return
	}
	for s.pages.left < need {
		s.evict()
	}
	first := s.pages.take(need)
	s.pages.write(first, 0, header[:])
	s.pages.write(first, len(header), body)
	s.index[key.hash()] = first
	s.push(first, key.hash(), len(body))
}

// push puts an item in as the newest.
func (s *cacheShard) push(n int32, hash uint64, size int) {
	item := &s.items[n]
	item.hash, item.size = hash, int32(size)
	item.newer, item.older = noPage, s.newest
	item.used.Store(false)
	if s.newest != noPage {
		s.items[s.newest].newer = n
	} else {
		s.oldest = n
	}
	s.newest = n
}

// evict drops the next item that was not used since the hand was there. There
// must be one.
func (s *cacheShard) evict() {
	n := s.hand
	for n == noPage || s.items[n].used.Swap(false) {
		if n != noPage {
			n = s.items[n].newer
		}
		if n == noPage {
			n = s.oldest
		}
	}
	item := &s.items[n]
	s.hand = item.newer
	if item.newer != noPage {
		s.items[item.newer].older = item.older
	} else {
		s.newest = item.older
	}
	if item.older != noPage {
		s.items[item.older].newer = item.newer
	} else {
		s.oldest = item.newer
	}
	delete(s.index, item.hash)
	s.pages.give(n)
}
