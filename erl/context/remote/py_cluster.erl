%% SPDX-License-Identifier: Apache-2.0
%% @doc Pools of the same name on other nodes, and which of them a call goes to.
%%
%% Each pool that runs is a member of the group `{pool, Name}' of `pg', in the scope
%% `terrarium', by the process that keeps it.  So a pool that is stopped, a process
%% that dies and a node that is lost leave by themselves.
%%
%% For each pool of another node that has been called there is a row in a table which
%% this process owns: how many calls of this node are under way there, and what the last
%% answer told of its load besides those.  Callers choose by these rows and write
%% them; they ask this process only where a row is missing.  And for each pool of this
%% node that others have called there is `{load, Name, Load, Milliseconds}'.
-module(py_cluster).
-behaviour(gen_server).

-export([children/0, start_link/0, join/1, leave/1, has/1, run/3, begun/1, context/1,
         choose/2]).
%% For calls that come from other nodes, and their answers.
-export([serve/2, context_here/1, report/3]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-export_type([load/0]).

-define(SCOPE, terrarium).
-define(TABLE, py_cluster).
%% So many candidates are all looked at; of more, two.
-define(FEW, 4).
%% So many contexts of a pool tell for all of them how busy they are.
-define(SAMPLE, 16).
%% So long that is good for every answer, in milliseconds.
-define(FRESH_MS, 5).
%% More calls than there can be.
-define(NO_LIMIT, 16#ffffffff).

-type load() :: {Pending :: non_neg_integer(), Ready :: non_neg_integer()}.
%% Requests that a pool has not answered yet, and how many of its contexts can serve.

-record(row, {key :: {py_pools:name(), node()},
              calls :: reference(),
              others = 0 :: non_neg_integer(),
              ready = 1 :: non_neg_integer(),
              at :: integer()}).
%% `calls': a slot is taken for each one under way, which also a killed caller gives
%% back; `at': when the rest was told, in milliseconds.

%% @doc What the supervisor starts: nothing where pools are not to be distributed.
-spec children() -> [supervisor:child_spec()].
children() ->
    case terrarium_config:get(distribute) of
        true ->
            [#{id => pg, start => {pg, start_link, [?SCOPE]}},
             #{id => ?MODULE, start => {?MODULE, start_link, []}}];
        false ->
            []
    end.

%% @doc Start the process that owns the rows.
-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc The calling process has a pool of that name from now on.
-spec join(py_pools:name()) -> ok.
join(Name) ->
    case terrarium_config:get(distribute) of
        true -> pg:join(?SCOPE, {pool, Name}, self());
        false -> ok
    end.

%% @doc And no longer.
-spec leave(py_pools:name()) -> ok.
leave(Name) ->
    case terrarium_config:get(distribute) of
        true ->
            _ = pg:leave(?SCOPE, {pool, Name}, self()),
            ok;
        false ->
            ok
    end.

%% @doc Is there such a pool on another node?
-spec has(py_pools:name()) -> boolean().
has(Name) ->
    others(Name, [node()]) =/= [].

others(Name, Not) ->
    [node(Pid) || Pid <- pg:get_members(?SCOPE, {pool, Name}), not lists:member(node(Pid), Not)].

%%% Calling

%% @doc Do this with the pool of that name of another node, the least busy one; if
%% that is full, or has been stopped, with the next.  Without any it is the error.
-spec run(py_pools:name(), {error, term()}, fun((py_place:at()) -> Result)) ->
    Result | {error, term()}.
run(Name, Error, Run) ->
    run(Name, [node()], Error, Run).

run(Name, Tried, Error, Run) ->
    case choose(others(Name, Tried), Name) of
        none -> Error;
        Node -> tried(counted(Name, Node, Run), [Node | Tried], Name, Error, Run)
    end.

%% Only what says so has not been begun: a context may be `overloaded' in the midst of a
%% stream.
tried({error, {not_begun, {error, {no_pool, Name}}}}, Tried, Name, Error, Run) ->
    run(Name, Tried, Error, Run);
tried({error, {not_begun, Error}}, Tried, Name, _, Run) ->
    run(Name, Tried, Error, Run);
tried(Result, _, _, _, _) ->
    Result.

%% @doc The result of a request to a pool of another node, where no other one is asked.
-spec begun(Result | {error, {not_begun, {error, term()}}}) -> Result | {error, term()}.
begun({error, {not_begun, Error}}) -> Error;
begun(Result) -> Result.

counted(Name, Node, Run) ->
    case py_slot_nif:take(calls({Name, Node})) of
        {_, _} ->
            Run({remote, Node, Name});
        Slot ->
            try
                Run({remote, Node, Name})
            after
                py_slot_nif:give(Slot)
            end
    end.

calls(Key) ->
    case row(Key) of
        #row{calls = Calls} -> Calls;
        none -> added(Key)
    end.

%% While the application stops nobody counts.
added(Key) ->
    try
        gen_server:call(?MODULE, {add, Key}, infinity)
    catch
        exit:_ -> py_slot_nif:new(?NO_LIMIT)
    end.

row(Key) ->
    try ets:lookup(?TABLE, Key) of
        [Row] -> Row;
        [] -> none
    catch
        error:badarg -> none
    end.

%% @doc A context of the pool of that name of another node.
-spec context(py_pools:name()) -> {ok, pid()} | {error, term()}.
context(Name) ->
    Ask = fun({remote, Node, _}) -> py_afar:call(Node, ?MODULE, context_here, [Name]) end,
    run(Name, {error, {no_pool, Name}}, Ask).

%%% Choosing

%% @private The node of these on which the pool of that name is to be called.
-spec choose([node()], py_pools:name()) -> node() | none.
choose([], _) ->
    none;
choose(Nodes, Name) ->
    Now = erlang:monotonic_time(millisecond),
    {_, _, Node} = lists:min([{score(row({Name, Node}), Now), any(Node), Node}
                              || Node <- few(Nodes)]),
    Node.

few(Nodes) when length(Nodes) =< ?FEW ->
    Nodes;
few(Nodes) ->
    N = any(Nodes),
    First = lists:nth(N rem length(Nodes) + 1, Nodes),
    Others = lists:delete(First, Nodes),
    [First, lists:nth(N div length(Nodes) rem length(Others) + 1, Others)].

any(Salt) ->
    erlang:phash2({Salt, self(), erlang:unique_integer()}).

%% Requests for each context.  What others have there is less and less true with the
%% time, and it is looked at again only if it is called again: it halves each second.
score(none, _) ->
    0;
score(#row{calls = Calls, others = Others, ready = Ready, at = At}, Now) ->
    {Ours, _} = py_slot_nif:read(Calls),
    case min((Now - At) bsr 10, 60) of
        0 when Ready =:= 0 -> 1000000 + Ours;
        Age -> 1000 * (Ours + Others bsr Age) div max(Ready, 1)
    end.

%% @doc What an answer told of the load there.  The caller's own call has been
%% answered, but counts until it returns.
-spec report(py_pools:name(), node(), load()) -> ok.
report(Name, Node, {Pending, Ready}) ->
    Key = {Name, Node},
    case row(Key) of
        #row{calls = Calls} ->
            {Ours, _} = py_slot_nif:read(Calls),
            Others = max(0, Pending - max(0, Ours - 1)),
            New = [{#row.others, Others}, {#row.ready, Ready},
                   {#row.at, erlang:monotonic_time(millisecond)}],
            _ = ets:update_element(?TABLE, Key, New),
            ok;
        none ->
            ok
    end.

%%% For other nodes

%% @doc Do this with a context of this node's pool of that name, or with this context
%% of it, within the limit; the result, which may be that it was not begun, and the load
%% of the pool after it.
-spec serve({py_pools:name(), any | pid()}, fun((pid()) -> Result)) ->
    {Result | {error, term()}, load()}.
serve({Name, Which}, Run) ->
    case terrarium_config:get(distribute) of
        true -> {within(which(Which, py_place:here(Name)), Run), load(Name)};
        false -> {not_begun({error, {no_pool, Name}}), {0, 0}}
    end.

within({ok, Context}, Run) ->
    Run(Context);
within({limited, Context, Limit, _}, Run) ->
    py_limit:run(Limit, fun() -> Run(Context) end, fun not_begun/1);
within({error, _} = Error, _) ->
    not_begun(Error).

not_begun(Error) ->
    {error, {not_begun, Error}}.

which(any, Place) -> Place;
which(Context, {ok, _}) -> {ok, Context};
which(Context, {limited, _, Limit, _}) -> {limited, Context, Limit, none};
which(_, {error, _} = Error) -> Error.

%% @doc The context of this node's pool that a process of another node gets.
-spec context_here(py_pools:name()) -> {ok, pid()} | {error, term()}.
context_here(Name) ->
    case py_place:here(Name) of
        {error, _} = Error -> not_begun(Error);
        Place -> {ok, py_place:near(Place)}
    end.

%% Who looks at a context's port may have to wait for one that polls there, so it is
%% not looked at for each answer.
load(Name) ->
    Now = erlang:monotonic_time(millisecond),
    try ets:lookup(?TABLE, Name) of
        [{_, _, Load, At}] when Now - At < ?FRESH_MS ->
            Load;
        _ ->
            Load = load_of(py_pool:contexts(py_pools:term(Name))),
            true = ets:insert(?TABLE, {load, Name, Load, Now}),
            Load
    catch
        error:badarg -> {0, 0}
    end.

load_of(Contexts) ->
    Size = tuple_size(Contexts),
    Seen = min(Size, ?SAMPLE),
    From = any(load) rem max(Size, 1),
    Pending = [pending(element((From + N) rem Size + 1, Contexts)) || N <- lists:seq(1, Seen)],
    Ready = [P || P <- Pending, is_integer(P)],
    scaled({lists:sum(Ready), length(Ready)}, Seen, Size).

scaled(Load, Size, Size) -> Load;
scaled({Pending, Ready}, Seen, Size) -> {Pending * Size div Seen, Ready * Size div Seen}.

pending(Context) ->
    case py_registry:find(Context) of
        {ready, Port, _, _, _} -> maps:get(pending, py_context_stats:counters(Port), none);
        _ -> none
    end.

%%% The process

%% @private
-spec init([]) -> {ok, #{node() => true}}.
init([]) ->
    ?TABLE = ets:new(?TABLE, [named_table, public, set, {keypos, #row.key},
                              {read_concurrency, true}, {write_concurrency, true}]),
    {ok, #{}}.

%% @private
-spec handle_call(term(), gen_server:from(), Mons) -> {reply, term(), Mons}
      when Mons :: #{node() => true}.
handle_call({add, {_, Node} = Key}, _From, Mons) ->
    Calls = case row(Key) of
                none ->
                    New = #row{key = Key, calls = py_slot_nif:new(?NO_LIMIT),
                               at = erlang:monotonic_time(millisecond)},
                    true = ets:insert(?TABLE, New),
                    New#row.calls;
                #row{calls = Known} ->
                    Known
            end,
    {reply, Calls, watched(Node, Mons)};
handle_call(_Request, _From, Mons) ->
    {reply, {error, unknown}, Mons}.

watched(Node, Mons) when is_map_key(Node, Mons) ->
    Mons;
watched(Node, Mons) ->
    true = erlang:monitor_node(Node, true),
    Mons#{Node => true}.

%% @private
-spec handle_cast(term(), Mons) -> {noreply, Mons} when Mons :: #{node() => true}.
handle_cast(_Message, Mons) ->
    {noreply, Mons}.

%% @private
-spec handle_info(term(), Mons) -> {noreply, Mons} when Mons :: #{node() => true}.
handle_info({nodedown, Node}, Mons) ->
    _ = ets:match_delete(?TABLE, {row, {'_', Node}, '_', '_', '_', '_'}),
    {noreply, maps:remove(Node, Mons)};
handle_info(_Other, Mons) ->
    {noreply, Mons}.
