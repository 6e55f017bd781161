// SPDX-License-Identifier: GPL-2.0-only
/* AES-256-GCM by the kernel's crypto API. See crypt.h. */
#include <crypto/aead.h>
#include <linux/cpumask.h>
#include <linux/crypto.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "crypt/crypt.h"

#define SPACES_MAX 8u

static void space_free(struct weft_aead *aead)
{
	if (!aead)
		return;
	aead_request_free(aead->request);
	if (aead->tfm)
		crypto_free_aead(aead->tfm);
	kfree_sensitive(aead);
}

static struct weft_aead *space_alloc(void)
{
	struct weft_aead *aead = kzalloc(sizeof(*aead), GFP_KERNEL);
	struct crypto_aead *tfm;
	int error = -ENOMEM;

	if (!aead)
		return ERR_PTR(error);
	tfm = crypto_alloc_aead("gcm(aes)", 0, 0);
	if (IS_ERR(tfm)) {
		error = PTR_ERR(tfm);
		goto err_free_space;
	}
	aead->tfm = tfm;
	error = crypto_aead_setauthsize(tfm, WEFT_CIPHER_TAG);
	if (error)
		goto err_free_space;
	aead->request = aead_request_alloc(tfm, GFP_KERNEL);
	if (aead->request)
		return aead;
	error = -ENOMEM;
err_free_space:
	space_free(aead);
	return ERR_PTR(error);
}

int weft_aead_spaces_init(struct weft_crypt_mount *crypt)
{
	unsigned int n = min(num_online_cpus(), SPACES_MAX);

	while (n--) {
		struct weft_aead *aead = space_alloc();

		if (!IS_ERR(aead)) {
			list_add(&aead->link, &crypt->spaces);
			crypt->n_spaces++;
		} else if (list_empty(&crypt->spaces)) {
			return PTR_ERR(aead);
		}
	}
	return 0;
}

/* Spaces that are in use are waited for: whoever has one computes, and gives it back. */
void weft_aead_spaces_forget(struct weft_crypt_mount *crypt)
{
	static const u8 zero[WEFT_KEY_LEN];
	struct weft_aead *aead, *next;
	LIST_HEAD(all);

	for (unsigned int n = crypt->n_spaces; n; n--) {
		aead = weft_aead_get(crypt);
		weft_aead_set_key(aead, zero);
		list_add(&aead->link, &all);
	}
	list_for_each_entry_safe(aead, next, &all, link) {
		list_del(&aead->link);
		weft_aead_put(crypt, aead);
	}
}

void weft_aead_spaces_exit(struct weft_crypt_mount *crypt)
{
	struct weft_aead *aead, *next;

	list_for_each_entry_safe(aead, next, &crypt->spaces, link)
		space_free(aead);
	INIT_LIST_HEAD(&crypt->spaces);
}

static struct weft_aead *space_take(struct weft_crypt_mount *crypt)
{
	struct weft_aead *aead;

	spin_lock(&crypt->space_lock);
	aead = list_first_entry_or_null(&crypt->spaces, struct weft_aead, link);
	if (aead)
		list_del(&aead->link);
	spin_unlock(&crypt->space_lock);
	return aead;
}

struct weft_aead *weft_aead_get(struct weft_crypt_mount *crypt)
{
	struct weft_aead *aead;

	/* Whoever has one computes, and waits for nobody but the cipher. */
	wait_event(crypt->space_wait, (aead = space_take(crypt)));
	return aead;
}

void weft_aead_put(struct weft_crypt_mount *crypt, struct weft_aead *aead)
{
	spin_lock(&crypt->space_lock);
	list_add(&aead->link, &crypt->spaces);
	spin_unlock(&crypt->space_lock);
	wake_up(&crypt->space_wait);
}

int weft_aead_set_key(struct weft_aead *aead, const u8 key[WEFT_KEY_LEN])
{
	return crypto_aead_setkey(aead->tfm, key, WEFT_KEY_LEN);
}

void weft_aead_begin(struct weft_aead *aead, const void *ad, u32 ad_len)
{
	sg_init_table(aead->sgs, WEFT_AEAD_SGS);
	memcpy(aead->ad, ad, ad_len);
	sg_set_buf(&aead->sgs[0], aead->ad, ad_len);
	aead->n_sgs = 1;
	aead->ad_len = ad_len;
	aead->text_len = 0;
}

void weft_aead_add_page(struct weft_aead *aead, struct page *page, u32 len, u32 offset)
{
	/* The one that is left out is missed by weft_aead_run(). */
	if (aead->n_sgs < WEFT_AEAD_SGS)
		sg_set_page(&aead->sgs[aead->n_sgs], page, len, offset);
	aead->n_sgs++;
	aead->text_len += len;
}

void weft_aead_add(struct weft_aead *aead, void *bytes, u32 len)
{
	while (len) {
		u32 offset = offset_in_page(bytes), part = len;
		struct page *page;

		if (is_vmalloc_addr(bytes)) {
			part = min_t(u32, len, PAGE_SIZE - offset);
			page = vmalloc_to_page(bytes);
		} else {
			page = virt_to_page(bytes);
		}
		weft_aead_add_page(aead, page, part, offset);
		bytes += part;
		len -= part;
	}
}

int weft_aead_run(struct weft_aead *aead, const u8 nonce[WEFT_NONCE_LEN], bool seal)
{
	DECLARE_CRYPTO_WAIT(wait);

	if (aead->n_sgs > WEFT_AEAD_SGS || aead->text_len <= WEFT_CIPHER_TAG)
		return -EINVAL;
	sg_mark_end(&aead->sgs[aead->n_sgs - 1]);
	memcpy(aead->nonce, nonce, sizeof(aead->nonce));
	aead_request_set_callback(aead->request, CRYPTO_TFM_REQ_MAY_BACKLOG | CRYPTO_TFM_REQ_MAY_SLEEP, crypto_req_done,
				  &wait);
	aead_request_set_crypt(aead->request, aead->sgs, aead->sgs, aead->text_len - (seal ? WEFT_CIPHER_TAG : 0),
			       aead->nonce);
	aead_request_set_ad(aead->request, aead->ad_len);
	return crypto_wait_req(seal ? crypto_aead_encrypt(aead->request) : crypto_aead_decrypt(aead->request), &wait);
}
