%% SPDX-License-Identifier: Apache-2.0
%% @doc The segments of shared memory that are held for one helper, by its courier.
%%
%% Three kinds: what an object in Python has open, by the token that it chose;
%% what it has let go of, but whose term it sent to Erlang before, where it may
%% not have been read; and what is on its way to Python in an answer, whose term
%% nobody in Erlang needs to have any more.  The last two are held until somebody
%% has used the segment since, and no longer than `?PATIENCE'.
-module(py_holds).

-export([new/0, hold/3, held/2, release/3, in_transit/2, sweep/1, is_waiting/1, count/1]).

-export_type([holds/0]).

-define(PATIENCE, 120000).
%% Each takes a descriptor of the VM.
-define(MOST, 4096).

-record(holds, {open = #{} :: #{integer() => py_shm:t()},
                left = [] :: [{integer(), Sent :: pos_integer(), py_shm:t()}],
                coming = #{} :: #{reference() => {pos_integer(), integer(), py_shm:t()}}}).

-opaque holds() :: #holds{}.

%% @doc None.
-spec new() -> holds().
new() ->
    #holds{}.

%% @doc It is open in Python under this token; `full' where too many are held.
-spec hold(integer(), py_shm:t(), holds()) -> {ok | full, holds()}.
hold(Token, Shm, Holds) ->
    case is_full(Holds) of
        false -> {ok, opened(Token, Shm, Holds)};
        true -> hold_in(Token, Shm, sweep(Holds))
    end.

hold_in(Token, Shm, Holds) ->
    case is_full(Holds) of
        false -> {ok, opened(Token, Shm, Holds)};
        true -> {full, Holds}
    end.

is_full(#holds{open = Open, left = Left, coming = Coming}) ->
    map_size(Open) + length(Left) + map_size(Coming) >= ?MOST.

opened(Token, Shm, #holds{open = Open} = Holds) ->
    arrived(Shm, Holds#holds{open = Open#{Token => Shm}}).

arrived(Shm, #holds{coming = Coming} = Holds) ->
    {Handle, _} = py_shm:nif(Shm),
    case Coming of
        #{Handle := {1, _, _}} ->
            Holds#holds{coming = maps:remove(Handle, Coming)};
        #{Handle := {N, Until, _}} ->
            Holds#holds{coming = Coming#{Handle := {N - 1, Until, Shm}}};
        _ ->
            Holds
    end.

%% @doc What is open under this token.
-spec held(integer(), holds()) -> {ok, py_shm:t()} | none.
held(Token, #holds{open = Open}) ->
    case Open of
        #{Token := Shm} -> {ok, Shm};
        _ -> none
    end.

%% @doc Python let go of it, and had last sent its term to Erlang at this time (in
%% nanoseconds of the system's monotonic clock; 0: never).
-spec release(integer(), non_neg_integer(), holds()) -> holds().
release(Token, Sent, #holds{open = Open, left = Left} = Holds) ->
    case maps:take(Token, Open) of
        {Shm, Others} when Sent > 0 ->
            Holds#holds{open = Others, left = [{until(), Sent, Shm} | Left]};
        {_, Others} ->
            Holds#holds{open = Others};
        error ->
            Holds
    end.

%% @doc All segments in this term are on their way to Python.
-spec in_transit(term(), holds()) -> holds().
in_transit(Term, Holds) ->
    lists:foldl(fun coming/2, Holds, segments(Term, [])).

coming(Shm, #holds{coming = Coming} = Holds) ->
    {Handle, _} = py_shm:nif(Shm),
    N = case Coming of
            #{Handle := {Before, _, _}} -> Before;
            _ -> 0
        end,
    Holds#holds{coming = Coming#{Handle => {N + 1, until(), Shm}}}.

segments([H | T], Acc) ->
    segments(T, segments(H, Acc));
segments(Tuple, Acc) when is_tuple(Tuple) ->
    case py_shm:is_shm(Tuple) of
        true -> [Tuple | Acc];
        false -> segments(tuple_to_list(Tuple), Acc)
    end;
segments(Map, Acc) when is_map(Map) ->
    segments(maps:values(Map), Acc);
segments(_, Acc) ->
    Acc.

until() ->
    erlang:monotonic_time(millisecond) + ?PATIENCE.

%% @doc Let go of what has been used, or has waited for too long.
-spec sweep(holds()) -> holds().
sweep(#holds{left = Left, coming = Coming} = Holds) ->
    Now = erlang:monotonic_time(millisecond),
    Holds#holds{left = [L || {Until, Sent, Shm} = L <- Left, Until > Now,
                             not used_since(Sent, Shm)],
                coming = maps:filter(fun(_, {_, Until, _}) -> Until > Now end, Coming)}.

used_since(Sent, Shm) ->
    {Handle, Secret} = py_shm:nif(Shm),
    py_shm_nif:used_since(Handle, Secret, Sent).

%% @doc Is there something to sweep?
-spec is_waiting(holds()) -> boolean().
is_waiting(#holds{left = Left, coming = Coming}) ->
    Left =/= [] orelse map_size(Coming) > 0.

%% @doc How many are open in Python.
-spec count(holds()) -> non_neg_integer().
count(#holds{open = Open}) ->
    map_size(Open).
