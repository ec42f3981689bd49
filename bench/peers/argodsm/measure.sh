#!/bin/sh
# What a read miss of ArgoDSM takes on this machine, over TCP and over shared memory, to be held beside `cargo xtask bench vm`.
#
#   bench/peers/argodsm/measure.sh [FOLDER]     (default: a new folder below /tmp)
#
# Fetches ArgoDSM and its one dependency into FOLDER, or uses FOLDER/argodsm if it is there already, and builds them there. Nothing of
# it is part of SciFS. Needs cmake, g++, libnuma-dev, and MPICH over UCX: apt install mpich libmpich-dev. Open MPI 4 won't do over
# TCP: its windows of MPI refuse programs of several threads there.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$(mktemp -d /tmp/argodsm.XXXXXX)}
mkdir -p "$folder"
cd "$folder"

if [ ! -d argodsm ]; then
  git clone --quiet https://github.com/etascale/argodsm.git argodsm
fi
if [ ! -e argodsm/submodules/qd/CMakeLists.txt ]; then
  rm -rf argodsm/submodules/qd
  git clone --quiet https://github.com/davidklaftenegger/qd_library.git argodsm/submodules/qd
fi

cmake -S argodsm -B build -DGIT_SUBMODULE=OFF -DARGO_TESTS=OFF -DARGO_BACKEND_MPI=ON \
  -DCMAKE_C_COMPILER=mpicc.mpich -DCMAKE_CXX_COMPILER=mpicxx.mpich >build.log
cmake --build build --parallel 2 >>build.log
mpicxx.mpich -std=c++17 -O2 -pthread -Iargodsm/src -Ibuild/config "$here/read_miss.cpp" -o read_miss \
  -Lbuild/lib -largo -largobackend-mpi -lqd -Wl,-rpath,"$PWD/build/lib"

# One page a miss, as it is measured of SciFS.
export ARGO_LOAD_SIZE=1
echo "TCP:"
UCX_TLS=tcp,self UCX_NET_DEVICES=lo MPIR_CVAR_NOLOCAL=1 timeout -k 2 120 mpirun.mpich -n 2 ./read_miss | grep median_us
echo "shared memory:"
timeout -k 2 120 mpirun.mpich -n 2 ./read_miss | grep median_us
