// wmma written out: every lane holds the whole matrix. A warp waits after each load and before each store, as its lanes
// go together on a GPU.
#pragma once

namespace nvcuda { namespace wmma {
struct matrix_a; struct matrix_b; struct accumulator; struct row_major; struct col_major;
enum layout_t { mem_row_major, mem_col_major };

template <class A, class B> struct same { static const bool value = false; };
template <class A> struct same<A, A> { static const bool value = true; };

template <class Use, int Rows, int Columns, int Inner, class Type, class Layout = row_major> struct fragment {
    static_assert(Rows == 16 && Columns == 16 && Inner == 16);
    static const bool columns_first = same<Layout, col_major>::value;
    Type x[16][16];
};
static inline void together() { fusemap::warp_barrier(0xffffffffu, __LINE__); }

template <class Fragment, class Type> void load_matrix_sync(Fragment &into, const Type *from, unsigned stride)
{
    for (int i = 0; i < 16; ++i)
        for (int j = 0; j < 16; ++j) into.x[i][j] = Fragment::columns_first ? from[j * stride + i] : from[i * stride + j];
    together();
}
template <class Fragment, class Type> void load_matrix_sync(Fragment &into, const Type *from, unsigned stride, layout_t)
{
    load_matrix_sync(into, from, stride);
}
template <class Fragment, class Type> void store_matrix_sync(Type *into, const Fragment &from, unsigned stride, layout_t)
{
    together();
    for (int i = 0; i < 16; ++i)
        for (int j = 0; j < 16; ++j) into[i * stride + j] = from.x[i][j];
}
template <class Fragment, class Type> void fill_fragment(Fragment &into, Type value)
{
    for (int i = 0; i < 16; ++i)
        for (int j = 0; j < 16; ++j) into.x[i][j] = value;
}
template <class D, class A, class B> void mma_sync(D &d, const A &a, const B &b, const D &c)
{
    D sum = c;
    for (int i = 0; i < 16; ++i)
        for (int j = 0; j < 16; ++j)
            for (int k = 0; k < 16; ++k) sum.x[i][j] += a.x[i][k] * b.x[k][j];
    d = sum;
}
} } // namespace nvcuda::wmma
