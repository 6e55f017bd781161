// SPDX-License-Identifier: GPL-2.0-only
/*
 * The generator matrix of the erasure code and the inversion of its submatrices.
 *
 * The matrix is part of the stored format and must never change: parity on disk was computed with
 * it.
 *
 * Start from the Cauchy matrix c(i,j) = 1 / (x(i) + y(j)) over GF(2^8) with x(i) = 32 + i for
 * parity i and y(j) = j for data shard j. As k + m <= 32, all x and y are distinct, so every
 * square submatrix has an inverse (Cauchy's determinant), and any k of the k + m shards give all
 * the others. Multiplying a row or a column by a non-zero number keeps that; so, as in Plank and
 * Xu, "Optimizing Cauchy Reed-Solomon Codes for Fault-Tolerant Network Storage Applications" (NCA
 * 2006), section 4, columns and then rows are scaled so that the first row and the first column
 * are ones:
 *
 *	a(i,j) = c(i,j) * c(0,0) / (c(0,j) * c(i,0))
 *	       = (x(0) + y(j)) * (x(i) + y(0)) / ((x(i) + y(j)) * (x(0) + y(0)))
 *	       = (32 ^ j) * (32 ^ i) / ((32 ^ i ^ j) * 32)
 *
 * Then the first parity is the XOR of the data, with k = 1 every parity is a copy, and the matrix
 * for (k, m) is the top left corner of one fixed matrix, symmetric in i and j: a group can get
 * more parity, or data shards that were all zeros, without a change to the parity it has.
 */
#include "ec.h"
#include "gf256.h"

static u8 matrix_element(unsigned int i, unsigned int j)
{
	u8 num = weft_gf_mul(32 ^ j, 32 ^ i);
	u8 den = weft_gf_mul(32 ^ i ^ j, 32);

	return weft_gf_mul(num, weft_gf_inv(den));
}

/* Fill the m rows of k coefficients of the parity part of the matrix; k + m <= 32. */
void weft_ec_matrix_fill(u8 *coef, unsigned int k, unsigned int m)
{
	for (unsigned int i = 0; i < m; i++)
		for (unsigned int j = 0; j < k; j++)
			coef[i * k + j] = matrix_element(i, j);
}

static void matrix_row_scale(u8 *row, unsigned int n, u8 factor)
{
	for (unsigned int j = 0; j < n; j++)
		row[j] = weft_gf_mul(row[j], factor);
}

static void matrix_row_add(u8 *row, const u8 *other, unsigned int n, u8 factor)
{
	for (unsigned int j = 0; j < n; j++)
		row[j] ^= weft_gf_mul(other[j], factor);
}

static void matrix_row_swap(u8 *a, u8 *b, unsigned int n)
{
	for (unsigned int j = 0; j < n; j++) {
		u8 tmp = a[j];

		a[j] = b[j];
		b[j] = tmp;
	}
}

/*
 * Invert the n x n matrix @a into @inverse by Gauss-Jordan elimination; @a is destroyed. Returns
 * -EDOM if @a is singular, which no square submatrix of the generator matrix is.
 */
int weft_ec_matrix_invert(u8 *a, u8 *inverse, unsigned int n)
{
	memset(inverse, 0, n * n);
	for (unsigned int i = 0; i < n; i++)
		inverse[i * n + i] = 1;

	for (unsigned int col = 0; col < n; col++) {
		unsigned int pivot = col;
		u8 factor;

		while (pivot < n && !a[pivot * n + col])
			pivot++;
		if (pivot == n)
			return -EDOM;
		if (pivot != col) {
			matrix_row_swap(a + pivot * n, a + col * n, n);
			matrix_row_swap(inverse + pivot * n, inverse + col * n, n);
		}

		factor = weft_gf_inv(a[col * n + col]);
		matrix_row_scale(a + col * n, n, factor);
		matrix_row_scale(inverse + col * n, n, factor);

		for (unsigned int row = 0; row < n; row++) {
			factor = a[row * n + col];
			if (row == col || !factor)
				continue;
			matrix_row_add(a + row * n, a + col * n, n, factor);
			matrix_row_add(inverse + row * n, inverse + col * n, n, factor);
		}
	}
	return 0;
}
