%% SPDX-License-Identifier: Apache-2.0
%% @doc What the router's process keeps: the pools, their contexts, the runtimes
%% that pools have for themselves.
%%
%% Everything here happens in that process.  What callers read of it is one
%% persistent term for each pool, `term/1'.
-module(py_pools).

-export([new/0, start/4, stop/2, down/2, replace/3, change/3, restore/3, tidy/1, names/1, find/2,
         term/1, erase_all/1, erase_former/0]).
%% From anywhere.
-export([ask/1]).

-export_type([pools/0, pool/0, name/0]).

%% How soon a context that could not be started is tried again, and how often
%% runtimes that are not needed any more are looked at.
-define(RETRY_MS, 1000).
-define(TIDY_MS, 500).
%% See drv_load.h.
-define(PLACES, 4096).

-type name() :: atom().

-type pool() :: #{spec := py_pool:spec(), runtime := none | atom(), places := [pos_integer()],
                  limit := none | py_limit:limit()}.
%% `runtime': its own one; `places': where the loads of its contexts are counted;
%% `limit': of its calls.

-record(pools, {all = #{} :: #{name() => pool()},
                mons = #{} :: #{reference() => {name(), pos_integer()}},
                ports = none :: none | tuple(),
                leaving = [] :: [atom()]}).

-opaque pools() :: #pools{}.

%% @doc None.
-spec new() -> pools().
new() ->
    #pools{}.

%% @doc Their names.
-spec names(pools()) -> [name()].
names(#pools{all = All}) ->
    maps:keys(All).

%% @doc A pool, if there is one of that name.
-spec find(name(), pools()) -> {ok, pool()} | error.
find(Name, #pools{all = All}) ->
    maps:find(Name, All).

%% @doc What callers read: its contexts, or `{}' where there is no such pool.
-spec term(name()) -> py_pool:term_().
term(Name) ->
    persistent_term:get(key(Name), {}).

%% The key of the default pool is an atom, whose hash is known.
key(default) -> py_context_router;
key(Name) -> {py_context_router, Name}.

%% @doc Nobody shall find them any more.
-spec erase_all(pools()) -> ok.
erase_all(#pools{all = All}) ->
    lists:foreach(fun(Name) -> persistent_term:erase(key(Name)) end, maps:keys(All)),
    py_pool_routes:clear().

%% @doc The same of pools whose process was killed: their contexts ended with it.
-spec erase_former() -> ok.
erase_former() ->
    _ = [persistent_term:erase(Key) || {Key, _} <- persistent_term:get(), is_key(Key)],
    py_pool_routes:clear().

is_key({py_context_router, _}) -> true;
is_key(Key) -> Key =:= py_context_router.

%% @doc Ask the process that keeps them.
-spec ask(term()) -> term().
ask(Request) ->
    try
        gen_server:call(py_context_router, Request, infinity)
    catch
        exit:_ -> {error, not_started}
    end.

%%% Starting and stopping

%% @doc Start a pool; one that runs is left as it is.
-spec start(name(), pos_integer(), py_pool:spec(), pools()) ->
    {{ok, [pid()]} | {error, term()}, pools()}.
start(Name, _, _, #pools{all = All} = P) when is_map_key(Name, All) ->
    {{ok, tuple_to_list(py_pool:contexts(term(Name)))}, P};
start(Name, Size, Spec, P) ->
    case resources(Name, Size, Spec, P) of
        {ok, Pool, Next} -> started(Name, start_all(Name, Size, Pool), Pool, Next);
        {error, _} = Error -> {Error, P}
    end.

started(Name, {ok, Contexts}, Pool, #pools{all = All, mons = Mons} = P) ->
    New = maps:from_list([{erlang:monitor(process, C), {Name, N}}
                          || {N, C} <- lists:enumerate(Contexts)]),
    publish(Name, list_to_tuple(Contexts), Pool, P),
    ok = py_cluster:join(Name),
    {{ok, Contexts}, P#pools{all = All#{Name => Pool}, mons = maps:merge(Mons, New)}};
started(_, {error, _} = Error, #{runtime := Runtime}, P) ->
    {Error, leave(Runtime, P)}.

publish(Name, Contexts, #{spec := Spec, places := Places, limit := Limit},
        #pools{ports = Ports}) ->
    persistent_term:put(key(Name), py_pool:term(Spec, Contexts, {Ports, Places}, Limit)).

%% What a pool needs beside its contexts.
resources(Name, Size, #{max_calls := Max} = Spec, #pools{ports = Ports} = P) ->
    Limit = py_limit:new(Max),
    case {places(Size, Spec, P), runtime(Name, py_pool:runtime_options(Spec))} of
        {{error, _} = Error, _} ->
            Error;
        {_, {error, _} = Error} ->
            Error;
        {{ok, []}, {ok, Runtime}} ->
            {ok, #{spec => Spec, runtime => Runtime, places => [], limit => Limit}, P};
        {{ok, Places}, {ok, Runtime}} ->
            Opened = case Ports of
                         none -> py_pool:open_ports();
                         _ -> Ports
                     end,
            {ok, #{spec => Spec, runtime => Runtime, places => Places, limit => Limit},
             P#pools{ports = Opened}}
    end.

places(Size, #{routing := least_loaded}, #pools{all = All}) ->
    Used = lists:append([Places || #{places := Places} <- maps:values(All)]),
    Free = lists:seq(1, ?PLACES - 1) -- Used,
    case length(Free) >= Size of
        true -> {ok, lists:sublist(Free, Size)};
        false -> {error, {too_many_contexts, Size}}
    end;
places(_, _, _) ->
    {ok, []}.

runtime(_, none) ->
    {ok, none};
runtime(Pool, Options) ->
    Name = free_name("pool_" ++ atom_to_list(Pool), 1),
    case py_runtime_sup:start_runtime(Name, Options) of
        ok -> {ok, Name};
        {error, _} = Error -> Error
    end.

%% The atoms are as many as there are such runtimes at one time.
free_name(Base, N) ->
    Name = list_to_atom(lists:append([Base | [[$_ | integer_to_list(N)] || N > 1]])),
    case py_registry:runtime(Name) of
        none -> Name;
        _ -> free_name(Base, N + 1)
    end.

start_all(Name, Size, Pool) ->
    Started = [start_one(Name, N, Pool) || N <- lists:seq(1, Size)],
    case [E || {error, _} = E <- Started] of
        [] ->
            {ok, [C || {ok, C} <- Started]};
        [Error | _] ->
            lists:foreach(fun py_context:stop/1, [C || {ok, C} <- Started]),
            Error
    end.

start_one(default, N, Pool) ->
    py_context_sup:start_context(N, options(default, N, Pool), self());
start_one(Name, N, Pool) ->
    py_context_sup:start_context({Name, N}, options(Name, N, Pool), self()).

%% The options of the N-th context.
options(default, N, Pool) -> (options(N, Pool))#{startup => shared};
options(_, N, Pool) -> options(N, Pool).

options(N, #{spec := #{context := Options}, runtime := Runtime, places := Places}) ->
    Placed = case Places of
                 [] -> Options;
                 _ -> Options#{place => lists:nth(N, Places)}
             end,
    case Runtime of
        none -> Placed;
        _ -> Placed#{runtime := Runtime}
    end.

%% @doc Forget a pool: the contexts that it had are for the caller to stop.
-spec stop(name(), pools()) -> {[pid()], pools()}.
stop(Name, #pools{all = All, mons = Mons} = P) ->
    Contexts = tuple_to_list(py_pool:contexts(term(Name))),
    ok = py_cluster:leave(Name),
    _ = persistent_term:erase(key(Name)),
    Left = maps:filter(fun(Mon, {Pool, _}) when Pool =:= Name ->
                               erlang:demonitor(Mon, [flush]),
                               false;
                          (_, _) ->
                               true
                       end, Mons),
    case maps:take(Name, All) of
        {#{runtime := Runtime}, Rest} ->
            {Contexts, leave(Runtime, P#pools{all = Rest, mons = Left})};
        error ->
            {[], P}
    end.

%% @doc The process of a context ended (stopped by hand, or by an error of
%% ours): its place is taken again.
-spec down(reference(), pools()) -> pools().
down(Mon, #pools{mons = Mons} = P) ->
    case maps:take(Mon, Mons) of
        {{Name, N}, Left} -> replace(Name, N, P#pools{mons = Left});
        error -> P
    end.

%% @doc Take the N-th place of a pool again.
-spec replace(name(), pos_integer(), pools()) -> pools().
replace(Name, N, #pools{all = All, mons = Mons} = P) when is_map_key(Name, All) ->
    #{Name := Pool} = All,
    case start_one(Name, N, Pool) of
        {ok, Context} ->
            Contexts = setelement(N, py_pool:contexts(term(Name)), Context),
            publish(Name, Contexts, Pool, P),
            Mon = erlang:monitor(process, Context),
            P#pools{mons = Mons#{Mon => {Name, N}}};
        {error, _} ->
            _ = erlang:send_after(?RETRY_MS, self(), {replace, Name, N}),
            P
    end;
replace(_, _, P) ->
    P.

%%% Changing

%% @doc From now on these are the options of the pool: for contexts that start.
%% Those that run are for the caller to renew, each with the options that come
%% with it; should that fail, `restore/3' what the pool was.
-spec change(name(), py_pool:spec(), pools()) ->
    {{ok, pool(), [{pid(), py_context_opts:options()}]} | {error, term()}, pools()}.
change(Name, Spec, #pools{all = All} = P) when is_map_key(Name, All) ->
    #{Name := Before} = All,
    Contexts = py_pool:contexts(term(Name)),
    case resources(Name, tuple_size(Contexts), Spec, P) of
        {ok, Pool, Next} -> {Steps, Changed} = become(Name, Before, Pool, Next),
                            {{ok, Before, Steps}, Changed};
        {error, _} = Error -> {Error, P}
    end;
change(Name, _, P) ->
    {{error, {no_pool, Name}}, P}.

%% @doc Make the pool again what it was.
-spec restore(name(), pool(), pools()) -> {[{pid(), py_context_opts:options()}], pools()}.
restore(Name, Before, #pools{all = All} = P) when is_map_key(Name, All) ->
    become(Name, maps:get(Name, All), Before, P);
restore(_, _, P) ->
    {[], P}.

become(Name, #{runtime := Left} = Former, #{runtime := Kept} = Next, P) ->
    #pools{all = All} = P,
    Pool = limited_as(Former, Next),
    Contexts = py_pool:contexts(term(Name)),
    publish(Name, Contexts, Pool, P),
    Steps = [{C, options(Name, N, Pool)} || {N, C} <- lists:enumerate(tuple_to_list(Contexts))],
    #pools{leaving = Leaving} = Changed = leave(Left, P#pools{all = All#{Name := Pool}}),
    {Steps, Changed#pools{leaving = Leaving -- [Kept]}}.

%% Calls under way go on to count.
limited_as(#{limit := Limit}, #{spec := #{max_calls := Max}} = Pool) ->
    Pool#{limit := py_limit:change(Limit, Max)}.

%%% Runtimes that nobody needs any more

leave(none, P) ->
    P;
leave(Runtime, #pools{leaving = Leaving} = P) ->
    _ = erlang:send_after(?TIDY_MS, self(), tidy),
    P#pools{leaving = [Runtime | Leaving]}.

%% @doc Stop those that have no helper any more.
-spec tidy(pools()) -> pools().
tidy(#pools{leaving = Leaving} = P) ->
    Left = [Runtime || Runtime <- Leaving, is_needed(Runtime)],
    lists:foreach(fun py_runtime_sup:stop_runtime/1, Leaving -- Left),
    _ = [erlang:send_after(?TIDY_MS, self(), tidy) || Left =/= []],
    P#pools{leaving = Left}.

is_needed(Runtime) ->
    case py_runtime:info(Runtime) of
        {ok, #{helpers := N}} -> N > 0;
        {error, _} -> false
    end.
