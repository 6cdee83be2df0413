%% SPDX-License-Identifier: Apache-2.0
%% @doc Namespaces of calling processes.
%%
%% In a context with the option `namespace => process' each calling process has
%% a namespace of its own, known to the helper by a number.  This process gives
%% out the numbers, and tells the helper when the process has ended.  A caller
%% asks once for each such context; while there is none, nobody asks anything.
-module(py_namespace).
-behaviour(gen_server).

-export([start_link/0, declare/1, scope/2, scope_call/2, scoped_for/2, in_name_of/3]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-include("../../port/py_wire.hrl").

-define(TABLE, py_namespaces).
%% Set once there is a context with namespaces of processes.
-define(USED, '$py_namespaces_used').

-type id() :: pos_integer().

%% @doc Start it.
-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc The calling context has namespaces of processes.
-spec declare(py_context_opts:options()) -> ok.
declare(#{namespace := process}) ->
    gen_server:call(?MODULE, {declare, self()}, infinity);
declare(_) ->
    ok.

%% @doc A request's term for this context, with the caller's namespace if it is
%% to have its own.  For one of another node (`none': it is not known yet) that is
%% found there.
-spec scope(pid() | none, tuple()) -> tuple().
scope(Context, Term) ->
    case persistent_term:get(?USED, false) of
        false when node(Context) =:= node() -> Term;
        true when node(Context) =:= node() -> scoped(Context, Term, self());
        %% Whether it has any, its node knows.
        _ -> erlang:append_element(Term, self())
    end.

%% @doc The same for a call: only the names in `__main__' are in a namespace.
-spec scope_call(pid() | none, {binary(), binary(), [term()], map()}) -> tuple().
scope_call(Context, {<<"__main__">>, _, _, _} = Term) ->
    scope(Context, Term);
scope_call(_, Term) ->
    Term.

%% @doc A request's term that a process of another node has made for this context:
%% `scope/2' left that process in it, whose namespace takes its place.
-spec scoped_for(pid(), term()) -> term().
scoped_for(Context, Term) when is_tuple(Term), is_pid(element(tuple_size(Term), Term)) ->
    Last = tuple_size(Term),
    Bare = erlang:delete_element(Last, Term),
    case persistent_term:get(?USED, false) of
        false -> Bare;
        true -> scoped(Context, Bare, element(Last, Term))
    end;
scoped_for(_, Term) ->
    Term.

%% @doc The term of a request, made for whatever context, as it goes to another node in
%% the name of this process.
-spec in_name_of(pid(), byte(), tuple()) -> tuple().
in_name_of(Pid, ?FRAME_CALL, Term) when element(1, Term) =:= <<"__main__">> -> named(Pid, 5, Term);
in_name_of(Pid, ?FRAME_EVAL, Term) -> named(Pid, 3, Term);
in_name_of(Pid, ?FRAME_EXEC, Term) -> named(Pid, 2, Term);
in_name_of(_, _, Term) -> Term.

named(_, Last, Term) when is_pid(element(Last, Term)) -> Term;
named(Pid, Last, Term) when tuple_size(Term) =:= Last -> setelement(Last, Term, Pid);
named(Pid, _, Term) -> erlang:append_element(Term, Pid).

scoped(Context, Term, Pid) ->
    case find({Context, Pid}) of
        none ->
            case find(Context) of
                none -> Term;
                0 -> claim(Context, Term, Pid)
            end;
        Number ->
            erlang:append_element(Term, Number)
    end.

%% Where the context, or everything, has ended meanwhile it does not matter.
claim(Context, Term, Pid) ->
    try gen_server:call(?MODULE, {claim, Context, Pid}, infinity) of
        gone -> Term;
        Number -> erlang:append_element(Term, Number)
    catch
        exit:_ -> Term
    end.

find(Key) ->
    try
        ets:lookup_element(?TABLE, Key, 2)
    catch
        error:badarg -> none
    end.

%%% The process

%% @private
-spec init([]) -> {ok, #{pid() => reference()}}.
init([]) ->
    process_flag(trap_exit, true),
    ?TABLE = ets:new(?TABLE, [named_table, protected, set, {read_concurrency, true}]),
    {ok, #{}}.

%% @private
-spec handle_call(term(), gen_server:from(), Mons) -> {reply, term(), Mons}
      when Mons :: #{pid() => reference()}.
handle_call({declare, Context}, _From, Mons) ->
    true = ets:insert(?TABLE, {Context, 0}),
    persistent_term:put(?USED, true),
    {reply, ok, watch(Context, Mons)};
handle_call({claim, Context, Pid}, _From, Mons) ->
    case {find(Context), find({Context, Pid})} of
        {none, _} ->
            {reply, gone, Mons};
        {0, none} ->
            Number = erlang:unique_integer([positive]),
            true = ets:insert(?TABLE, {{Context, Pid}, Number}),
            {reply, Number, watch(Pid, Mons)};
        {0, Number} ->
            %% Several may ask at once for a process of another node.
            {reply, Number, Mons}
    end;
handle_call(_Request, _From, Mons) ->
    {reply, {error, unknown}, Mons}.

watch(Pid, Mons) when is_map_key(Pid, Mons) -> Mons;
watch(Pid, Mons) -> Mons#{Pid => erlang:monitor(process, Pid)}.

%% @private
-spec handle_cast(term(), Mons) -> {noreply, Mons} when Mons :: #{pid() => reference()}.
handle_cast(_Message, Mons) ->
    {noreply, Mons}.

%% @private
-spec handle_info(term(), Mons) -> {noreply, Mons} when Mons :: #{pid() => reference()}.
handle_info({'DOWN', _, process, Pid, _}, Mons) ->
    _ = ets:delete(?TABLE, Pid),
    _ = ets:match_delete(?TABLE, {{Pid, '_'}, '_'}),
    lists:foreach(fun([Context, Number]) -> forget(Context, Number) end,
                  ets:match(?TABLE, {{'$1', Pid}, '$2'})),
    _ = ets:match_delete(?TABLE, {{'_', Pid}, '_'}),
    {noreply, maps:remove(Pid, Mons)};
handle_info(_Other, Mons) ->
    {noreply, Mons}.

%% A helper that is gone, or will be, has forgotten it already.
-spec forget(pid(), id()) -> ok.
forget(Context, Number) ->
    case py_registry:find(Context) of
        {ready, Port, _, _, _} ->
            _ = py_port:notice(Port, ?FRAME_FORGET, term_to_binary({Number})),
            ok;
        _ ->
            ok
    end.

%% @private
-spec terminate(term(), term()) -> ok.
terminate(_Reason, _Mons) ->
    _ = persistent_term:erase(?USED),
    ok.
