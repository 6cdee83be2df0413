%% SPDX-License-Identifier: Apache-2.0
%% @doc Pools of contexts, and which of them a caller gets.
%%
%% A pool is a tuple of contexts in a persistent term; a caller takes the one
%% of its scheduler, without asking anybody.  A process that needs the same
%% namespace again binds itself to a context.  The contexts belong to this
%% process; one that ends is replaced at its place.
-module(py_context_router).
-behaviour(gen_server).

%% The default pool.
-export([start/0, start/1, stop/0, is_started/0]).
%% Named pools.
-export([start_pool/2, start_pool/3, stop_pool/1, pool_started/1]).
%% Which context.
-export([get_context/0, get_context/1, nth/2, bind_context/1, bind_context/2,
         unbind_context/0, unbind_context/1, num_contexts/0, num_contexts/1,
         contexts/0, contexts/1]).
-export([start_link/0, init/1, handle_call/3, handle_cast/2, handle_info/2,
         terminate/2]).

%% How soon a context that could not be started is tried again.
-define(RETRY_MS, 1000).

-type pool() :: atom().

-record(state, {pools = #{} :: #{pool() => py_context_opts:options()},
                mons = #{} :: #{reference() => {pool(), pos_integer()}}}).

%%% The default pool

%% @doc Start the default pool with its configured size; fine if it runs.
-spec start() -> {ok, [pid()]} | {error, term()}.
start() ->
    start(#{}).

%% @doc The same with options: `contexts' (how many), and those of contexts.
-spec start(map()) -> {ok, [pid()]} | {error, term()}.
start(Options) when is_map(Options) ->
    Size = maps:get(contexts, Options, terrarium_config:get(contexts)),
    start_pool(default, Size, maps:remove(contexts, Options));
start(Options) ->
    {error, {invalid, options, Options}}.

%% @doc Stop the default pool.
-spec stop() -> ok.
stop() ->
    stop_pool(default).

%% @doc Does the default pool run?
-spec is_started() -> boolean().
is_started() ->
    pool_started(default).

%%% Named pools

%% @equiv start_pool(Name, Size, #{})
-spec start_pool(pool(), pos_integer() | auto) -> {ok, [pid()]} | {error, term()}.
start_pool(Name, Size) ->
    start_pool(Name, Size, #{}).

%% @doc Start a pool of `Size' contexts with these options.  Does not wait for
%% their helpers.  A pool that runs is left as it is.
-spec start_pool(pool(), pos_integer() | auto, py_context:options()) ->
    {ok, [pid()]} | {error, term()}.
start_pool(Name, Size, Options) when is_atom(Name) ->
    case {terrarium_config:check(contexts, Size), py_context_opts:context(Options)} of
        {error, _} -> {error, {invalid, contexts, Size}};
        {_, {error, _} = Error} -> Error;
        {{ok, auto}, {ok, Checked}} -> ask({start, Name, auto_size(), Checked});
        {{ok, N}, {ok, Checked}} -> ask({start, Name, N, Checked})
    end;
start_pool(Name, _, _) ->
    {error, {invalid, pool, Name}}.

auto_size() ->
    erlang:system_info(schedulers_online).

%% @doc Stop a pool and wait until its contexts have ended.
-spec stop_pool(pool()) -> ok.
stop_pool(Name) ->
    case ask({stop, Name}) of
        {ok, Contexts} -> stop_all(Contexts);
        {error, _} -> ok
    end.

stop_all(Contexts) ->
    Stoppers = [spawn_monitor(fun() -> py_context:stop(C) end) || C <- Contexts],
    lists:foreach(fun({_, Mon}) ->
                          receive
                              {'DOWN', Mon, process, _, _} -> ok
                          end
                  end, Stoppers).

%% @doc Does the pool run?
-spec pool_started(term()) -> boolean().
pool_started(Name) ->
    pool(Name) =/= {}.

ask(Request) ->
    try
        gen_server:call(?MODULE, Request, infinity)
    catch
        exit:_ -> {error, not_started}
    end.

%%% Which context

%% @doc The caller's context of the default pool.
-spec get_context() -> {ok, pid()} | {error, term()}.
get_context() ->
    get_context(default).

%% @doc The caller's context of a pool: the one it is bound to, or the one of
%% the scheduler it runs on.
-spec get_context(pool()) -> {ok, pid()} | {error, term()}.
get_context(Name) ->
    case get(bound(Name)) of
        undefined -> scheduled(Name, pool(Name));
        Context -> {ok, Context}
    end.

%% The keys of the default pool are atoms, whose hash is known.
bound(default) -> '$py_context';
bound(Name) -> {'$py_context', Name}.

key(default) -> ?MODULE;
key(Name) -> {?MODULE, Name}.

scheduled(Name, {}) ->
    {error, {no_pool, Name}};
scheduled(_, Pool) ->
    N = (erlang:system_info(scheduler_id) - 1) rem tuple_size(Pool),
    {ok, element(N + 1, Pool)}.

%% @doc The N-th context of a pool, from 1.
-spec nth(pool(), pos_integer()) -> {ok, pid()} | {error, term()}.
nth(Name, N) ->
    case pool(Name) of
        {} ->
            {error, {no_pool, Name}};
        Pool when is_integer(N), N >= 1, N =< tuple_size(Pool) ->
            {ok, element(N, Pool)};
        _ ->
            {error, {invalid, context, N}}
    end.

%% @doc From now on the calling process uses this context where it would use
%% the default pool.
-spec bind_context(pid()) -> ok | {error, term()}.
bind_context(Context) ->
    bind_context(default, Context).

%% @doc The same for a named pool.
-spec bind_context(pool(), pid()) -> ok | {error, term()}.
bind_context(Name, Context) when is_atom(Name), is_pid(Context) ->
    _ = put(bound(Name), Context),
    ok;
bind_context(_, Context) ->
    {error, {invalid, context, Context}}.

%% @doc The calling process uses the default pool again.
-spec unbind_context() -> ok.
unbind_context() ->
    unbind_context(default).

%% @doc The calling process uses this pool again.
-spec unbind_context(pool()) -> ok.
unbind_context(Name) ->
    _ = erase(bound(Name)),
    ok.

%% @doc How many contexts the default pool has.
-spec num_contexts() -> non_neg_integer().
num_contexts() ->
    num_contexts(default).

%% @doc How many contexts a pool has.
-spec num_contexts(pool()) -> non_neg_integer().
num_contexts(Name) ->
    tuple_size(pool(Name)).

%% @doc The contexts of the default pool.
-spec contexts() -> [pid()].
contexts() ->
    contexts(default).

%% @doc The contexts of a pool.
-spec contexts(pool()) -> [pid()].
contexts(Name) ->
    tuple_to_list(pool(Name)).

pool(Name) ->
    persistent_term:get(key(Name), {}).

%%% The process

%% @doc Start the process that keeps the pools.
-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, [], []) of
        {ok, Pid} -> {ok, Pid};
        ignore -> {error, ignore};
        {error, _} = Error -> Error
    end.

%% @private
-spec init([]) -> {ok, #state{}}.
init([]) ->
    process_flag(trap_exit, true),
    Named = maps:to_list(terrarium_config:get(pools)),
    Pools = case terrarium_config:get(start_contexts) of
                true -> [{default, #{size => size()}} | Named];
                false -> Named
            end,
    {ok, lists:foldl(fun start_configured/2, #state{}, Pools)}.

size() ->
    case terrarium_config:get(contexts) of
        auto -> auto_size();
        N -> N
    end.

start_configured({Name, #{size := Size} = Options}, State) ->
    {ok, Checked} = py_context_opts:context(maps:remove(size, Options)),
    {_, Next} = add(Name, Size, Checked, State),
    Next.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({start, Name, Size, Options}, _From, State) ->
    {Reply, Next} = add(Name, Size, Options, State),
    {reply, Reply, Next};
handle_call({stop, Name}, _From, State) ->
    {Contexts, Next} = remove(Name, State),
    {reply, {ok, Contexts}, Next};
handle_call(_Request, _From, State) ->
    {reply, {error, unknown}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({'DOWN', Mon, process, _, _}, #state{mons = Mons} = State) ->
    case maps:take(Mon, Mons) of
        {{Name, N}, Left} -> {noreply, replace(Name, N, State#state{mons = Left})};
        error -> {noreply, State}
    end;
handle_info({replace, Name, N}, State) ->
    {noreply, replace(Name, N, State)};
handle_info(_Other, State) ->
    {noreply, State}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{pools = Pools}) ->
    lists:foreach(fun(Name) -> persistent_term:erase(key(Name)) end, maps:keys(Pools)).

add(Name, _, _, #state{pools = Pools} = State) when is_map_key(Name, Pools) ->
    {{ok, contexts(Name)}, State};
add(Name, Size, Options, #state{pools = Pools, mons = Mons} = State) ->
    case start_all(Name, Size, Options) of
        {ok, Contexts} ->
            persistent_term:put(key(Name), list_to_tuple(Contexts)),
            New = maps:from_list([{erlang:monitor(process, C), {Name, N}}
                                  || {N, C} <- lists:enumerate(Contexts)]),
            {{ok, Contexts}, State#state{pools = Pools#{Name => Options},
                                         mons = maps:merge(Mons, New)}};
        {error, _} = Error ->
            {Error, State}
    end.

start_all(Name, Size, Options) ->
    Started = [start_one(Name, N, Options) || N <- lists:seq(1, Size)],
    case [E || {error, _} = E <- Started] of
        [] ->
            {ok, [C || {ok, C} <- Started]};
        [Error | _] ->
            stop_all([C || {ok, C} <- Started]),
            Error
    end.

start_one(default, N, Options) ->
    py_context_sup:start_context(N, Options, self());
start_one(Name, N, Options) ->
    py_context_sup:start_context({Name, N}, Options, self()).

remove(Name, #state{pools = Pools, mons = Mons} = State) ->
    Contexts = contexts(Name),
    _ = persistent_term:erase(key(Name)),
    Left = maps:filter(fun(Mon, {Pool, _}) when Pool =:= Name ->
                               erlang:demonitor(Mon, [flush]),
                               false;
                          (_, _) ->
                               true
                       end, Mons),
    {Contexts, State#state{pools = maps:remove(Name, Pools), mons = Left}}.

%% A context's process ended (stopped by hand, or by an error of ours).
replace(Name, N, #state{pools = Pools, mons = Mons} = State) ->
    case Pools of
        #{Name := Options} ->
            case start_one(Name, N, Options) of
                {ok, Context} ->
                    persistent_term:put(key(Name), setelement(N, pool(Name), Context)),
                    Mon = erlang:monitor(process, Context),
                    State#state{mons = Mons#{Mon => {Name, N}}};
                {error, _} ->
                    _ = erlang:send_after(?RETRY_MS, self(), {replace, Name, N}),
                    State
            end;
        _ ->
            State
    end.
