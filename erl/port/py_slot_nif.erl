%% SPDX-License-Identifier: Apache-2.0
%% @doc Slots of a limited number (c_src/slot_nif).
%%
%% A slot is a reference that its taker keeps until it gives the slot back.  The
%% slot of a process that is killed is given back when its heap is gone.
-module(py_slot_nif).

-export([new/1, set/2, read/1, take/1, give/1]).

-on_load(load/0).
-nifs([new/1, set/2, read/1, take/1, give/1]).

load() ->
    erlang:load_nif(filename:join(code:priv_dir(terrarium), "py_slot_nif"), 0).

%% @doc So many slots, none of them taken.
-spec new(non_neg_integer()) -> reference().
new(_Max) ->
    erlang:nif_error(not_loaded).

%% @doc From now on there are so many.
-spec set(reference(), non_neg_integer()) -> ok.
set(_Slots, _Max) ->
    erlang:nif_error(not_loaded).

%% @doc How many are taken, and how many there are.
-spec read(reference()) -> {non_neg_integer(), non_neg_integer()}.
read(_Slots) ->
    erlang:nif_error(not_loaded).

%% @doc Take one; if there is none, how many are taken of how many.
-spec take(reference()) -> reference() | {non_neg_integer(), non_neg_integer()}.
take(_Slots) ->
    erlang:nif_error(not_loaded).

%% @doc Give one back; fine if it has been.
-spec give(reference()) -> ok.
give(_Slot) ->
    erlang:nif_error(not_loaded).
